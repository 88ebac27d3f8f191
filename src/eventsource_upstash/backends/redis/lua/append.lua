-- Appends events to a stream, all or none, in one step.
--
-- KEYS  head, notice, log, stream, next archive of the log, next archive of the stream, [idempotency record]
-- ARGV  1 number of events  2 expected revision, '*' for any, '+' for an existing stream  3 identity of this append
--       4 '1' when an earlier attempt may have been applied, '2' when one may have been of which nobody knows, else '0'
--       5 now in microseconds, '' when the caller cannot notify
--       6 microseconds after which a notification counts as lost  7, 8 archives that the caller takes log and stream to
--       have  9 bytes of this append  10 bytes at which a key is archived  11 stream  12 metadata  13 tags
--       14 the idempotency record's beginning  15 its end  16... type and payload of each event
--
-- Answers { status, calls, ... }:
--   ok, repeated: position, revision, whether a notification is owed ('1' or '0')
--   conflict: revision, entries after the expected one (of the stream's present key), outstanding position
--   known: the idempotency record, outstanding position
--   again: archives of the log, of the stream             unknown: whether it was applied cannot be told
--   foreign: what stands at the head's key                rewound: head, last position in the log
--   error: the engine's text; nothing was written

local MISSED = 1000
local LOOK_BACK = 200
local LOOK_BACK_US = 900000000
local MAX_PAGE = 4194304

local count = tonumber(ARGV[1])
local expected = ARGV[2]
local identity = ARGV[3]
local limit = tonumber(ARGV[10])

local records
if KEYS[7] then
  records = call('MGET', KEYS[1], KEYS[2], KEYS[7])
else
  records = call('MGET', KEYS[1], KEYS[2])
end
local head, bytes, cuts, fresh = read_head(records[1])
if not head then
  return { 'foreign', calls, records[1] }
end
local raised, raised_at = 0, 0
if records[2] then
  local position, at = string.match(records[2], '^(%d+) (%d+)$')
  raised, raised_at = tonumber(position or 0), tonumber(at or 0)
end

-- The idempotency record decides before anything else does.
if KEYS[7] and records[3] then
  return { 'known', calls, records[3], text(raised) }
end

local function repeated(position, revision)
  local owes = '0'
  if ARGV[5] ~= '' and raised == tonumber(position) then
    owes = '1'
  end
  return { 'repeated', calls, position, revision, owes }
end

local revision, stream_bytes, stream_cuts = 0, 0, ''
local last = call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)[1]
if last then
  revision = number_of(last[1])
  stream_bytes = tonumber(last[2][6])
  stream_cuts = last[2][8]
  if tonumber(last[2][2]) > head then
    return { 'rewound', calls, text(head), last[2][2] }
  end
end

local conflict = expected ~= '*' and expected ~= text(revision) and (expected ~= '+' or revision == 0)

if conflict then
  local missed = {}
  if expected ~= '+' and tonumber(expected) < revision then
    local entries = call('XRANGE', KEYS[4], text(tonumber(expected) + 1) .. '-0', '+', 'COUNT', MISSED)
    local first = entries[1]
    if first and first[2][4] == identity and number_of(first[1]) == tonumber(expected) + count
        and #first[2] == 12 + 2 * count then
      return repeated(first[2][2], text(number_of(first[1])))
    end
    missed = take_entries(entries, 12, MISSED, MAX_PAGE)
  end
  return { 'conflict', calls, text(revision), missed, text(raised) }
end

-- The same request once more, right behind itself: something on the way has doubled it.
if not KEYS[7] and last and last[2][4] == identity then
  return repeated(last[2][2], text(revision))
end

-- Without an expected revision or a key, nothing else tells whether an earlier attempt took effect. The caller may know
-- of none: a request that is late, since its caller gave up on it and sent another, or since something on the way has
-- doubled it, finds events that are younger than itself.
local late = last and number_of(last[2][4]) >= number_of(identity)
if (late or ARGV[4] ~= '0') and not KEYS[7] and (expected == '*' or expected == '+') and last then
  local recent = call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', LOOK_BACK)
  for _, entry in ipairs(recent) do
    if entry[2][4] == identity then
      return repeated(entry[2][2], text(number_of(entry[1])))
    end
  end
  local oldest = number_of(recent[#recent][2][4])
  if ARGV[4] == '1' and (#recent == LOOK_BACK or stream_cuts ~= '') and oldest > number_of(identity) - LOOK_BACK_US then
    return { 'unknown', calls }
  end
end

-- A key that is full is put away under the next archive's name, which the caller has to name beforehand.
local archives = count_cuts(cuts, 0)
local stream_archives = count_cuts(stream_cuts, 0)
local cut = bytes >= limit
local cut_stream = stream_bytes >= limit
if (cut and text(archives) ~= ARGV[7]) or (cut_stream and text(stream_archives) ~= ARGV[8]) then
  return { 'again', calls, text(archives), text(stream_archives) }
end

local position = text(head + count)
local after = text(revision + count)

local entry = { 'XADD', KEYS[3], '', 's', ARGV[11], 'r', after, 'i', identity, 'm', ARGV[12], 't', ARGV[13] }
local copy = { 'XADD', KEYS[4], '', 'p', position, 'i', identity, 'b', '', 'a', '', 'm', ARGV[12], 't', ARGV[13] }
for index = 16, #ARGV do
  entry[#entry + 1] = ARGV[index]
  copy[#copy + 1] = ARGV[index]
end

-- Where the engine's stack is too small for so many events, this fails before anything is written.
local function fits(...)
  return select('#', ...)
end
fits(unpack(copy))

-- A log without its head: several events could come to stand among those that are there.
if fresh and count > 1 then
  local there = call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
  if there then
    return { 'rewound', calls, text(head), text(number_of(there[1])) }
  end
end

-- From here on each write is taken back if a later one is refused (the database may be full at any of them).
local undo = {}
local function refused(answer)
  local reason = 'refused'
  if type(answer) == 'table' and answer.err then
    reason = answer.err
  end
  for index = #undo, 1, -1 do
    local step = undo[index]
    try(unpack(step))
    -- A key begun here has to go as a whole, or the one that was put away could not come back to its name.
    if step.begun and try('XLEN', step[2]) == 0 then
      try('DEL', step[2])
    end
  end
  return { 'error', calls, reason }
end
local function failed(answer)
  return type(answer) == 'table' and answer.err
end

local function put_away(key, archive)
  local moved = try('RENAMENX', key, archive)
  if moved == 0 then
    return { err = 'something stands at ' .. archive }
  end
  undo[#undo + 1] = { 'RENAMENX', archive, key }
  return moved
end

if cut then
  local moved = put_away(KEYS[3], KEYS[5])
  if failed(moved) then
    return refused(moved)
  end
  bytes = 0
  cuts = cuts .. (cuts == '' and '' or ',') .. text(head + 1)
end
if cut_stream then
  local moved = put_away(KEYS[4], KEYS[6])
  if failed(moved) then
    return refused(moved)
  end
  stream_bytes = 0
  stream_cuts = stream_cuts .. (stream_cuts == '' and '' or ',') .. text(revision + 1)
end
bytes = bytes + tonumber(ARGV[9])
stream_bytes = stream_bytes + tonumber(ARGV[9])

-- An entry that was taken back leaves its id behind: the next one at the same place counts on after the hyphen, by the
-- time, so that it can be taken back any number of times; and by tomorrow's, where this clock is behind another.
local function add(key, number, fields, begun)
  local answer
  local moment = number_of(identity)
  for _, sequence in ipairs({ 0, moment, moment + 86400000000 }) do
    fields[3] = text(number) .. '-' .. text(sequence)
    answer = try(unpack(fields))
    if not failed(answer) then
      undo[#undo + 1] = { 'XDEL', key, fields[3], begun = begun }
      return answer
    end
    if not string.find(answer.err, 'equal or smaller', 1, true) then
      return answer
    end
    local there = call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
    if there and number_of(there[1]) >= number then
      return { err = answer.err, there = text(number_of(there[1])) }
    end
  end
  return answer
end

copy[9] = text(stream_bytes)
copy[11] = stream_cuts

local answer = add(KEYS[3], head + count, entry, cut or fresh)
if failed(answer) then
  local outcome = refused(answer)
  if answer.there then
    return { 'rewound', calls, text(head), answer.there }
  end
  return outcome
end
answer = add(KEYS[4], revision + count, copy, cut_stream or revision == 0)
if failed(answer) then
  return refused(answer)
end

if KEYS[7] then
  answer = try('SET', KEYS[7], ARGV[14] .. position .. ' ' .. after .. ARGV[15], 'NX')
  if not answer then
    answer = { err = 'WRONGTYPE something else stands at ' .. KEYS[7] }
  end
  if failed(answer) then
    return refused(answer)
  end
  undo[#undo + 1] = { 'DEL', KEYS[7] }
end
local record = FORMAT .. ' ' .. position .. ' ' .. text(bytes) .. ' ' .. cuts
local write = { fresh and 'MSETNX' or 'MSET', KEYS[1], record }
local owes = '0'
if ARGV[5] ~= '' then
  local since = tonumber(ARGV[5]) - raised_at
  if raised == 0 or since > tonumber(ARGV[6]) or since < -tonumber(ARGV[6]) then
    owes = '1'
    write[4] = KEYS[2]
    write[5] = position .. ' ' .. ARGV[5]
  end
end
answer = try(unpack(write))
if failed(answer) then
  return refused(answer)
end
if answer == 0 then
  refused(answer)
  return { 'foreign', calls, '' }
end
return { 'ok', calls, position, after, owes }
