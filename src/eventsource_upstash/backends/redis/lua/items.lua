-- A page of a view's documents, in order of their keys. The documents' keys are not known beforehand, so this script
-- runs without the key-locking flag.
--
-- KEYS  key index
-- ARGV  what documents' keys begin with, key to start after or '', limit, max bytes
-- Answers { 'ok', calls, names, documents }

local from = '-'
if ARGV[2] ~= '' then
  from = '(' .. ARGV[2]
end
local names = call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, ARGV[3])
if #names == 0 then
  return { 'ok', calls, {}, {} }
end
local keys = {}
for index, name in ipairs(names) do
  keys[index] = ARGV[1] .. name
end
local listed, found = {}, {}
local take = bounded(tonumber(ARGV[4]))
for index, document in ipairs(call('MGET', unpack(keys))) do
  if document then
    local fits, full = take({ names[index], document }, size_of(document))
    if not fits then
      break
    end
    listed[#listed + 1] = names[index]
    found[#found + 1] = document
    if full then
      break
    end
  end
end
return { 'ok', calls, listed, found }
