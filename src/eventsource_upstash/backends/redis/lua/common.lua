-- What every script begins with. Contents are opaque here: nothing is decoded, and numbers travel as strings, since not
-- every engine writes and reads them alike.

-- Billed commands of this run: the EVAL itself and each call.
local calls = 1

local function call(...)
  calls = calls + 1
  return redis.call(...)
end

local function try(...)
  calls = calls + 1
  return redis.pcall(...)
end

local function text(number)
  return string.format('%.0f', number)
end

local FORMAT = '1'

-- The head record: format, last position, bytes in the log's present key, and where the log was cut into further keys
-- (the first position of each but the first).
local function read_head(record)
  if not record then
    return 0, 0, '', true
  end
  local format, position, bytes, cuts = string.match(record, '^(%d+) (%d+) (%d+) ([%d,]*)$')
  if format ~= FORMAT then
    return nil
  end
  return tonumber(position), tonumber(bytes), cuts, false
end

-- How many cuts there are, and how many of them are at or before a number: the index of the key that holds it.
local function count_cuts(cuts, number)
  local all, before = 0, 0
  for cut in string.gmatch(cuts, '%d+') do
    all = all + 1
    if tonumber(cut) <= number then
      before = before + 1
    end
  end
  return all, before
end

-- Position (or revision) in an entry's id.
local function number_of(id)
  return tonumber(string.match(id, '^(%d+)'))
end
