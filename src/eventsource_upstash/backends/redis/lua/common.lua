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

local FORMAT = '2'

-- The head record: format, last position, bytes in the log's present key and in that of its marks, and where the log was
-- cut into further keys (the first position of each but the first).
local function read_head(record)
  if not record then
    return 0, 0, '', true, 0
  end
  local format, position, bytes, marked, cuts = string.match(record, '^(%d+) (%d+) (%d+) (%d+) ([%d,]*)$')
  if format ~= FORMAT then
    return nil
  end
  return tonumber(position), tonumber(bytes), cuts, false, tonumber(marked)
end

-- A stream's record: format, revision, bytes in its present key, position of its last append, identity of its youngest one
-- (of an older release: of its last one), and where the stream was cut into further keys (the first revision of each but
-- the first).
local function read_stream(record)
  if not record then
    return 0, 0, nil, nil, ''
  end
  local format, revision, bytes, position, identity, cuts =
    string.match(record, '^(%d+) (%d+) (%d+) (%d+) (%d+%-%d+) ([%d,]*)$')
  if format ~= FORMAT then
    return nil
  end
  return tonumber(revision), tonumber(bytes), tonumber(position), identity, cuts
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

-- Bytes of a content: what is no text stands here as base64 behind a zero byte.
local function size_of(content)
  if string.byte(content, 1) ~= 0 then
    return #content
  end
  local _, padding = string.gsub(string.sub(content, -2), '=', '')
  return math.floor((#content - 1) * 3 / 4) - padding
end

-- Bytes of a reply with that content in it, which JSON escapes: counted only where a reply gets large.
local MAX_REPLY = 9000000
local CHEAP_REPLY = 4000000
local function weight_of(content)
  local _, escaped = string.gsub(content, '["\\]', '')
  local _, controls = string.gsub(content, '%c', '')
  return #content + escaped + 5 * controls
end

-- Takes contents into a reply until it is full, or has so many bytes of them.
--
-- `take` is handed a list of strings and how many bytes of contents are among them; it answers whether they still fit,
-- and whether the reply is complete with them. The first ones always fit: nothing is stored that does not.
local function bounded(max_bytes)
  local size, length, weight, first = 0, 0, nil, true
  local kept = {}
  return function(texts, bytes)
    for _, text in ipairs(texts) do
      length = length + #text + 4
      kept[#kept + 1] = text
    end
    if length > CHEAP_REPLY then
      weight = weight or 0
      for _, text in ipairs(kept) do
        weight = weight + weight_of(text) + 4
      end
      kept = {}
      if weight > MAX_REPLY and not first then
        return false, true
      end
    end
    first = false
    size = size + bytes
    return true, size >= max_bytes
  end
end

-- The entries that a page needs: those that end with one of the `limit` events after a number, so that entries of many
-- events are not read for nothing; or the one entry that is longer than that.
local function read_entries(key, after, last, limit)
  local start = text(after + 1) .. '-0'
  local entries = call('XRANGE', key, start, text(math.min(last, after + limit)), 'COUNT', limit)
  if #entries == 0 then
    entries = call('XRANGE', key, start, text(last), 'COUNT', 1)
  end
  return entries
end

-- Entries for a reply: at most so many events, and up to the entry that reaches so many bytes of payload. `fixed` words
-- of an entry come before its first event; `take` bounds the reply, where there is something else in it already.
local function take_entries(entries, fixed, limit, max_bytes, take)
  local page, events = {}, 0
  take = take or bounded(max_bytes)
  for _, entry in ipairs(entries) do
    local bytes = 0
    for field = fixed + 2, #entry[2], 2 do
      bytes = bytes + size_of(entry[2][field])
      events = events + 1
    end
    local fits, full = take(entry[2], bytes)
    if not fits then
      break
    end
    page[#page + 1] = entry
    if full or events >= limit then
      break
    end
  end
  return page
end
