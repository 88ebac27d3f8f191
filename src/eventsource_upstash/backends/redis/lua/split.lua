-- Splits a leaf of a view's key index: its upper half becomes a leaf of its own.
--
-- The directory has a line for each leaf but the first, in order: number, space, first name, newline (which no name
-- holds). Its version stands in the view's record, and both change in one command.
--
-- KEYS  the view's record, directory, leaf, new leaf
-- ARGV  generation, version of the directory, number of the leaf, number of the new leaf, new version, largest leaf
-- Answers { 'ok', calls, directory }, { 'no', calls } where there is nothing to split, or where somebody else has
--       split since, or { 'lost', calls } without the directory that there has to be

local MARK = '\244\143\191\191' -- see items.lua

local found = call('MGET', KEYS[1], KEYS[2])
local before, version, rest = string.match(found[1] or '', '^(%d+ %d+ %d+) (%S+) (.*)$')
if version ~= ARGV[2] or string.match(before, '^%d+') ~= ARGV[1] then
  return { 'no', calls }
end
local lines, place = '', 0
if version ~= '0' then
  lines = found[2] or ''
end
if ARGV[3] ~= '0' then
  local _, ends = string.find('\n' .. lines, '\n' .. ARGV[3] .. ' [^\n]*\n')
  if not ends then
    return { 'lost', calls }
  end
  place = ends - 1
elseif version ~= '0' and lines == '' then
  return { 'lost', calls }
end

local count = call('ZCARD', KEYS[3])
local marked = true
if ARGV[3] == '0' then
  marked = call('ZSCORE', KEYS[3], MARK)
  if marked then
    count = count - 1
  end
end
if count <= tonumber(ARGV[6]) then
  return { 'no', calls }
end

-- Until the directory changes, nobody reads the new leaf: whatever is refused before, nothing has happened.
local first, last = text(math.floor(count / 2)), text(count - 1)
call('ZRANGESTORE', KEYS[4], KEYS[3], first, last)
local name = call('ZRANGE', KEYS[4], '0', '0')[1]
if not marked then
  call('ZADD', KEYS[3], '0', MARK)
end
local directory = string.sub(lines, 1, place) .. ARGV[4] .. ' ' .. name .. '\n' .. string.sub(lines, place + 1)
call('MSET', KEYS[2], directory, KEYS[1], before .. ' ' .. ARGV[5] .. ' ' .. rest)
call('ZREMRANGEBYRANK', KEYS[3], first, last)
return { 'ok', calls, directory }
