-- A page of a view's documents, in the order of their keys or of an index, and as they are at one moment. The documents'
-- keys are not known beforehand, so this script runs without the key-locking flag, and finds the leaves by itself.
--
-- KEYS  head, the view's record
-- ARGV  1, 2 what keys' names are made of  3 set of names  4 index, '' for keys  5 generation of the build, 6 version of
--       its directory and 7 number of the leaf that the page begins in, as the caller takes them to be  8, 9 the lowest
--       and the highest name, as bounds  10 '1' for backwards  11 limit  12 max bytes  13 now
-- Answers { 'ok', calls, head, record, directory, names, documents, '1' where there may be more behind them, else '0',
--       last name that was looked at or '' }: the directory is false where it is as the caller takes it to be
--       or { 'lost', calls, record } without the directory that there has to be, { 'strange', calls, record }

local ROUND, MOST = 250, 500

local generation, version = ARGV[5], ARGV[6]
local low, high, back = ARGV[8], ARGV[9], ARGV[10] == '1'
local limit, now = tonumber(ARGV[11]), tonumber(ARGV[13])
local take = bounded(tonumber(ARGV[12]))

local function names_in(number, count)
  local key = leaf_key(ARGV[3], generation, number)
  if back then
    return call('ZREVRANGEBYLEX', key, high, low, 'LIMIT', '0', text(count))
  end
  return call('ZRANGEBYLEX', key, low, high, 'LIMIT', '0', text(count))
end

-- The keys of the first documents that names stand for, behind other keys.
local function document_keys(keys, names, count)
  local start = ARGV[1] .. 'doc:' .. ARGV[2] .. ':' .. generation .. ':'
  for index = 1, math.min(#names, count) do
    local key = names[index]
    if ARGV[4] ~= '' then
      key = key_in(key)
    end
    keys[#keys + 1] = start .. key
  end
  return keys
end

-- By what the caller takes the build to be, one command reads the documents, and whether that is so.
local names = names_in(ARGV[7], limit + 1)
local keys = document_keys({ KEYS[1], KEYS[2], leaf_key('leaves', generation, '0') }, names, limit)
local documents = call('MGET', unpack(keys))
local head, record, directory = documents[1], documents[2], documents[3]
local skip = 3
local view = read_view(record)
if not view then
  return { 'strange', calls, record }
end
local build = view.serving
local told = false
local again = false
if build.generation ~= generation then
  generation = build.generation
  again = true
  directory = build.version ~= '0' and call('GET', leaf_key('leaves', generation, '0'))
end
if build.version == '0' then
  directory = ''
elseif not directory then
  return { 'lost', calls, record }
end
if again or build.version ~= version then
  told = directory
end
local numbers, firsts = leaves_of(directory, ARGV[3])
local at = leaf_at(firsts, back and high or low)
if again or numbers[at] ~= ARGV[7] then
  names = names_in(numbers[at], limit + 1)
  documents, skip = {}, 0
  if #names > 0 then
    documents = call('MGET', unpack(document_keys({}, names, limit)))
  end
end

-- The leaf that comes next in the order, if names between the bounds can be in it.
local function next_leaf()
  if back then
    return at > 1 and (low == '-' or is_after(firsts[at], string.sub(low, 2))) and at - 1
  end
  return at < #numbers and (high == '+' or not is_after(firsts[at + 1], string.sub(high, 2))) and at + 1
end

-- Whether there are names in the leaves that come next.
local function goes_on()
  local leaf = next_leaf()
  while leaf do
    if #names_in(numbers[leaf], 1) > 0 then
      return true
    end
    at = leaf
    leaf = next_leaf()
  end
  return false
end

-- A name may be left over from what was refused: the document says what it is found by.
local function stands(document, name, header)
  if has_ended(header, now) then
    return false
  end
  return ARGV[4] == '' or value_in(header, ARGV[4]) == string.sub(name, 1, string.find(name, '\t', 1, true) - 1)
end

local listed, found, last, more = {}, {}, '', nil
local scanned, wanted = 0, limit
while more == nil do
  local count = math.min(#names, wanted)
  for index = 1, count do
    local document = documents[skip + index]
    if document then
      local header, content = header_of(document)
      if stands(document, names[index], header) then
        local size = header and size_of(string.sub(document, content)) or size_of(document)
        local fits, full = take({ names[index], document }, size)
        if not fits then
          more = true
          break
        end
        listed[#listed + 1] = names[index]
        found[#found + 1] = document
        if full or #listed == limit then
          last = names[index]
          more = index < #names or goes_on()
          break
        end
      end
    end
    last = names[index]
  end
  scanned = scanned + count
  if more == nil then
    if #names > wanted then
      if back then
        high = '(' .. last
      else
        low = '(' .. last
      end
    else
      at = next_leaf()
    end
    if not at then
      more = false
    elseif scanned >= MOST then
      more = #names > wanted or #names_in(numbers[at], 1) > 0 or goes_on()
    else
      wanted = #listed == scanned and limit - #listed or ROUND
      names = names_in(numbers[at], wanted + 1)
      documents, skip = {}, 0
      if #names > 0 then
        documents = call('MGET', unpack(document_keys({}, names, wanted)))
      end
    end
  end
end
return { 'ok', calls, head, record or false, told, listed, found, more and '1' or '0', last }
