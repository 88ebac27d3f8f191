-- How many documents a view has, how many stand in a part of an index, and how many of these come before one of them; and
-- which have ended. Leaves are not known beforehand: without the key-locking flag.
--
-- KEYS  head, the view's record
-- ARGV  1, 2 what keys' names are made of  3 index, '' for all documents  4 generation of the build, as the caller takes
--       it to be  5, 6 the lowest and the highest name, as bounds  7 key of the document whose rank is asked for, or ''
--       8 now  9 the end of the names of what has ended by now, as a bound  10 how many of those to list, '' for none
-- Answers { 'ok', calls, head, record, how many, how many before the document or false, keys of what has ended, and
--       what it is found by }
--       or { 'lost', calls, record } without the directory that there has to be, { 'strange', calls, record }

local generation, index, now = ARGV[4], ARGV[3], tonumber(ARGV[8])
local low, high, ended = ARGV[5], ARGV[6], ARGV[9]

local function document_key(key)
  return ARGV[1] .. 'doc:' .. ARGV[2] .. ':' .. generation .. ':' .. key
end

local found = call('MGET', KEYS[1], KEYS[2], leaf_key('leaves', generation, '0'), document_key(ARGV[7]))
local head, record, directory, document = found[1], found[2], found[3], found[4]
local view = read_view(record)
if not view then
  return { 'strange', calls, record }
end
local build = view.serving
if build.generation ~= generation then
  generation = build.generation
  found = call('MGET', leaf_key('leaves', generation, '0'), document_key(ARGV[7]))
  directory, document = found[1], found[2]
end
if build.version == '0' then
  directory = ''
elseif not directory then
  return { 'lost', calls, record }
end

-- What was counted once is not asked again.
local counted = {}
local function count(...)
  local what = table.concat({ ... }, ' ')
  counted[what] = counted[what] or call(...)
  return counted[what]
end

local function between(set, from, to)
  local numbers, firsts = leaves_of(directory, set)
  local first, last = leaf_at(firsts, from), leaf_at(firsts, to)
  local function key(at)
    return leaf_key(set, generation, numbers[at])
  end
  if first >= last then
    return count('ZLEXCOUNT', key(first), from, to)
  end
  local sum = count('ZLEXCOUNT', key(first), from, '+') + count('ZLEXCOUNT', key(last), '-', to)
  for at = first + 1, last - 1 do
    sum = sum + count('ZCARD', key(at))
  end
  return sum
end

-- Hands each document that has ended to `visit`, with its name and header, at most so many of them.
local function visit_ended(most, visit)
  local numbers, firsts = leaves_of(directory, 'ends')
  for at = 1, leaf_at(firsts, ended) do
    local leaf, from, size = leaf_key('ends', generation, numbers[at]), '-', 0
    local names = {}
    repeat
      size = math.min(most, 1000)
      names = call('ZRANGEBYLEX', leaf, from, ended, 'LIMIT', '0', text(size))
      if #names > 0 then
        local keys = {}
        for place, name in ipairs(names) do
          keys[place] = document_key(key_in(name))
        end
        local documents = call('MGET', unpack(keys))
        for place, name in ipairs(names) do
          local header = documents[place] and header_of(documents[place])
          if has_ended(header, now) then
            visit(key_in(name), header)
          end
        end
        from = '(' .. names[#names]
        most = most - #names
      end
    until #names < size or most == 0
    if most == 0 then
      return
    end
  end
end

local function outside(name)
  local from, to = string.sub(low, 2), string.sub(high, 2)
  return is_after(from, name) or not is_after(to, name)
end

if ARGV[10] ~= '' then
  local names, documents = {}, {}
  if build.ends == '1' then
    visit_ended(tonumber(ARGV[10]), function(key, header)
      names[#names + 1] = key
      documents[#documents + 1] = header .. '\n'
    end)
  end
  return { 'ok', calls, head, record or false, '0', false, names, documents }
end
if index == '' then
  local all = tonumber(build.count)
  if build.ends == '1' then
    all = all - between('ends', '-', ended)
  end
  return { 'ok', calls, head, record or false, text(all), false, {}, {} }
end

local set = 'index-' .. index
local all, before = between(set, low, high), nil
local name = nil
if ARGV[7] ~= '' and document then
  local header = header_of(document)
  local value = value_in(header, index)
  if value and not has_ended(header, now) then
    name = value .. '\t' .. ARGV[7]
    if outside(name) then
      name = nil
    end
  end
end
if name then
  before = between(set, low, '(' .. name)
end
if build.ends == '1' then
  visit_ended(math.huge, function(key, header)
    local value = value_in(header, index)
    if value then
      local other = value .. '\t' .. key
      if not outside(other) then
        all = all - 1
        if name and is_after(name, other) then
          before = before - 1
        end
      end
    end
  end)
end
return { 'ok', calls, head, record or false, text(all), before and text(before) or false, {}, {} }
