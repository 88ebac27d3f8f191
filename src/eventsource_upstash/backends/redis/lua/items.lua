-- A page of a view's documents, in order of their keys, and as they are at one moment. The documents' keys are not known
-- beforehand, so this script runs without the key-locking flag, and finds the leaves of the key index by itself.
--
-- KEYS  first leaf of the key index, the view's record, directory of the leaves
-- ARGV  what documents' keys begin with, key to start after or '', limit, max bytes
-- Answers { 'ok', calls, names, documents, '1' where there may be more behind them, else '0' } or { 'lost', calls } without the directory that there has to be

-- The last member of a first leaf that is not the only one. No name holds this character, and none comes after it.
local MARK = '\244\143\191\191'

local limit, after = tonumber(ARGV[3]), ARGV[2]
local listed, found = {}, {}
local take = bounded(tonumber(ARGV[4]))

-- Whether a name comes after another one, byte by byte: the engine's own comparison may go by its locale.
local function is_after(left, right)
  for index = 1, math.min(#left, #right) do
    local one, other = string.byte(left, index), string.byte(right, index)
    if one ~= other then
      return one > other
    end
  end
  return #left > #right
end

-- The leaves that come after the first one, from that on which the key to start after belongs to.
local function find_leaves()
  local records = call('MGET', KEYS[2], KEYS[3])
  if string.match(records[1] or '', '^%d+ %d+ %d+ (%S+)') == '0' then
    return {} -- the mark was set, and then the split was refused
  end
  if not records[2] then
    return nil
  end
  local leaves = {}
  for number, first in string.gmatch(records[2], '(%d+) ([^\n]*)\n') do
    if not is_after(first, after) then
      leaves = {}
    end
    leaves[#leaves + 1] = KEYS[1] .. ':' .. number
  end
  return leaves
end

-- Takes the documents of these names; answers whether the page is complete.
local function list(names)
  local keys = {}
  for index, name in ipairs(names) do
    keys[index] = ARGV[1] .. name
  end
  local documents = call('MGET', unpack(keys))
  for index = 1, #keys do
    local document = documents[index]
    if document then
      local fits, full = take({ names[index], document }, size_of(document))
      if not fits then
        return true
      end
      listed[#listed + 1] = names[index]
      found[#found + 1] = document
      if full then
        return true
      end
    end
  end
  return #listed == limit
end

local leaf, leaves, at = KEYS[1], {}, 0
while leaf do
  local wanted = limit - #listed
  local from = '-'
  if after ~= '' then
    from = '(' .. after
  end
  local names = call('ZRANGEBYLEX', leaf, from, '+', 'LIMIT', 0, wanted)
  local ends = #names < wanted
  if names[#names] == MARK then
    names[#names] = nil
    ends = true
    leaves = find_leaves()
    if not leaves then
      return { 'lost', calls }
    end
  end
  if #names > 0 then
    after = names[#names]
    if list(names) then
      break
    end
  end
  if ends then
    at = at + 1
    leaf = leaves[at]
  end
end
return { 'ok', calls, listed, found, leaf and '1' or '0' }
