-- Splits a leaf of a set of names: its upper half becomes a leaf of its own. See leaves.lua for the directory: its
-- version stands in the view's record, and both change in one command.
--
-- KEYS  the view's record, directory, leaf, new leaf
-- ARGV  generation, version of the directory, set, number of the leaf, number of the new leaf, new version, largest leaf
-- Answers { 'ok', calls, directory }, { 'no', calls } where there is nothing to split, or where somebody else has
--       split since, or { 'lost', calls } without the directory that there has to be

local found = call('MGET', KEYS[1], KEYS[2])
local view = read_view(found[1])
local build = view and view.of[ARGV[1]]
if not build or build.version ~= ARGV[2] or build.role == 'D' then
  return { 'no', calls }
end
local lines, place = '', nil
if build.version ~= '0' then
  lines = found[2] or ''
  if lines == '' then
    return { 'lost', calls }
  end
end
if ARGV[4] ~= '0' then
  local _, ends = string.find('\n' .. lines, '\n' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ', 1, true)
  if not ends then
    return { 'lost', calls }
  end
  place = string.find(lines, '\n', ends, true)
else
  local begins = string.find('\n' .. lines, '\n' .. ARGV[3] .. ' ', 1, true)
  place = begins and begins - 1 or #lines
end

local count = call('ZCARD', KEYS[3])
if count <= tonumber(ARGV[7]) then
  return { 'no', calls }
end

-- Until the directory changes, nobody reads the new leaf: whatever is refused before, nothing has happened.
local first, last = text(math.floor(count / 2)), text(count - 1)
call('ZRANGESTORE', KEYS[4], KEYS[3], first, last)
local name = call('ZRANGE', KEYS[4], '0', '0')[1]
local line = ARGV[3] .. ' ' .. ARGV[5] .. ' ' .. name .. '\n'
local directory = string.sub(lines, 1, place) .. line .. string.sub(lines, place + 1)
build.version = ARGV[6]
call('MSET', KEYS[2], directory, KEYS[1], write_view(view))
call('ZREMRANGEBYRANK', KEYS[3], first, last)
return { 'ok', calls, directory }
