-- Deletes a part of a build, and its line with the last part. The documents' keys are not known beforehand: without the
-- key-locking flag.
--
-- KEYS  the view's record, directory of the build's leaves, the build's records...
-- ARGV  1, 2 what keys' names are made of  3 generation  4 most documents to delete  5 '1' where it may be the one that
--       serves
-- Answers { 'ok', calls, '1' where it is gone, else '0', record }, or { 'serves', calls, record }

local CHUNK = 1000
local found = call('MGET', KEYS[1], KEYS[2])
local record, directory, generation = found[1], found[2] or '', ARGV[3]
local view = read_view(record)
if not view then
  return { 'ok', calls, '0', record }
end
local build = view.of[generation]
if not build then
  return { 'ok', calls, '1', record or false }
end
if build.role == 'S' then
  if ARGV[5] ~= '1' then
    return { 'serves', calls, record or false }
  end
  view.serving = add_build(view, 'S')
end
if build.role ~= 'D' then
  build.role, build.notes = 'D', ''
  record = write_view(view)
  call('SET', KEYS[1], record)
end

-- The documents before their names: what is refused in between is found again.
local start = ARGV[1] .. 'doc:' .. ARGV[2] .. ':' .. generation .. ':'
local left = tonumber(ARGV[4])
for _, number in ipairs((leaves_of(directory, 'keys'))) do
  local leaf = leaf_key('keys', generation, number)
  local some = true
  while some do
    local count = math.min(left, CHUNK)
    local names = call('ZRANGE', leaf, '0', text(count))
    some = #names > count
    if some then
      names[#names] = nil
    end
    if #names > 0 then
      local keys = {}
      for index, name in ipairs(names) do
        keys[index] = start .. name
      end
      call('DEL', unpack(keys))
      call('ZREMRANGEBYRANK', leaf, '0', text(#names - 1))
      left = left - #names
    end
    if some and left == 0 then
      return { 'ok', calls, '0', record }
    end
  end
end

local rest = {}
for index = 2, #KEYS do
  rest[#rest + 1] = KEYS[index]
end
local sets = { 'keys', 'ends' }
for index in string.gmatch(build.indexes, '[^,]+') do
  sets[#sets + 1] = 'index-' .. index
end
for _, set in ipairs(sets) do
  for _, number in ipairs((leaves_of(directory, set))) do
    rest[#rest + 1] = leaf_key(set, generation, number)
  end
end
for first = 1, #rest, CHUNK do
  call('UNLINK', unpack(rest, first, math.min(#rest, first + CHUNK - 1)))
end
for index, each in ipairs(view.builds) do
  if each == build then
    table.remove(view.builds, index)
    break
  end
end
record = write_view(view)
call('SET', KEYS[1], record)
return { 'ok', calls, '1', record }
