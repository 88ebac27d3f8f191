-- Appends events to a stream, all or none, in one step.
--
-- KEYS  head, notice, log, marks, stream's record, stream, next archives of log, marks and stream,
--       [idempotency record], [snapshot], archives of the marks that the condition reaches back to...
-- ARGV  1 number of events  2 expected revision, '*' for any, '+' for an existing stream  3 identity of this append
--       4 '1' when an earlier attempt may have been applied, '2' when one may have been of which nobody knows, else '0'
--       5 now in microseconds, '' when the caller cannot notify
--       6 microseconds after which a notification counts as lost  7, 8 archives that the caller takes log and stream to
--       have  9 bytes of this append  10 bytes at which a key is archived  11 stream  12 metadata  13 tags
--       14 the idempotency record's beginning, '' for none  15 its end  16 snapshot, '' for none
--       17 number of words to be found by  18 position that the condition is about, '' for none; with '=' before it,
--       the log has to end there, whatever the query says
--       19 index of the first archive of the marks in KEYS
--       20... type and payload of each event; each word, and the events it is about: '*', or their offsets; the query
--
-- Answers { status, calls, ... }:
--   ok, repeated: position, revision, whether a notification is owed ('1' or '0'); where it has cut, or else false: cuts
--     of the log, archives of the stream
--   conflict: revision, entries after the expected one (of the stream's present key), outstanding position
--   known: the idempotency record, outstanding position
--   behind: head, which is before the position that the log has to end at
--   unmet: position of an event that the condition excludes, revision up to which it was not looked whether this append
--     is in the stream, since that is in its archives
--   again: archives of the log, of the stream, cuts of the log   unknown: whether it was applied cannot be told
--   foreign: what stands at the head's key, or at the one of that index   occupied: something stands at a new key
--   rewound: head, last position in the log                torn: revision, last one in the stream
--   error: the engine's text; nothing was written

local MISSED = 1000
-- Bytes that a mark takes beside its name, about.
local MARK = 16

local LOOK_BACK = 200
local LOOK_BACK_US = 900000000
local MAX_PAGE = 4194304

local count = tonumber(ARGV[1])
local expected = ARGV[2]
local identity = ARGV[3]
local limit = tonumber(ARGV[10])

local names, optional = { KEYS[1], KEYS[2], KEYS[5] }, 10
local once, snapshot
if ARGV[14] ~= '' then
  once, optional = KEYS[optional], optional + 1
  names[4] = once
end
if ARGV[16] ~= '' then
  snapshot, optional = KEYS[optional], optional + 1
end
local records = call('MGET', unpack(names))
local head, bytes, cuts, fresh, marked = read_head(records[1])
if not head then
  return { 'foreign', calls, records[1] }
end
local raised, raised_at = 0, 0
if records[2] then
  local position, at = string.match(records[2], '^(%d+) (%d+)$')
  raised, raised_at = tonumber(position or 0), tonumber(at or 0)
end

-- The idempotency record decides before anything else does.
if once and records[4] then
  return { 'known', calls, records[4], text(raised) }
end

local function repeated(position, revision)
  local owes = '0'
  if ARGV[5] ~= '' and raised == tonumber(position) then
    owes = '1'
  end
  return { 'repeated', calls, position, revision, owes, false, false }
end

local revision, stream_bytes, last, youngest, stream_cuts = read_stream(records[3])
if not revision then
  return { 'foreign', calls, records[3], 5 }
end
if last and last > head then
  return { 'rewound', calls, text(head), text(last) }
end

local conflict = expected ~= '*' and expected ~= text(revision) and (expected ~= '+' or revision == 0)

if conflict then
  local missed = {}
  if expected ~= '+' and tonumber(expected) < revision then
    local entries = call('XRANGE', KEYS[6], text(tonumber(expected) + 1) .. '-0', '+', 'COUNT', MISSED)
    local first = entries[1]
    if first and first[2][4] == identity and number_of(first[1]) == tonumber(expected) + count
        and #first[2] == 8 + 2 * count then
      return repeated(first[2][2], text(number_of(first[1])))
    end
    missed = take_entries(entries, 8, MISSED, MAX_PAGE)
  end
  return { 'conflict', calls, text(revision), missed, text(raised) }
end

-- This very append among the last ones of the stream, or that it cannot be told whether it is there.
local unseen = 0
local function look_back()
  local recent = call('XREVRANGE', KEYS[6], '+', '-', 'COUNT', LOOK_BACK)
  for _, entry in ipairs(recent) do
    if entry[2][4] == identity then
      return repeated(entry[2][2], text(number_of(entry[1])))
    end
  end
  if #recent > 0 and #recent < LOOK_BACK and stream_cuts ~= '' then
    unseen = number_of(recent[#recent][1]) - (#recent[#recent][2] - 8) / 2
  end
  if ARGV[4] == '1' and #recent > 0 and (#recent == LOOK_BACK or stream_cuts ~= '')
      and number_of(recent[#recent][2][4]) > number_of(identity) - LOOK_BACK_US then
    return { 'unknown', calls }
  end
  return nil
end

-- Without an expected revision or a key, nothing else tells whether an earlier attempt took effect. The caller may know
-- of none: a request that is late, since its caller gave up on it and sent another, or since something on the way has
-- doubled it, finds that the youngest event is no older than itself. The last one may well be: it was longer on its way,
-- or its clock is behind.
local unsure = last and not once and (expected == '*' or expected == '+')
if unsure and (ARGV[4] ~= '0' or number_of(youngest) >= number_of(identity)) then
  local there = look_back()
  if there then
    return there
  end
  unsure = false
end

-- A key that is full is put away under the next archive's name, which the caller has to name beforehand.
local exactly = string.match(ARGV[18], '^=(%d+)$')
local since = tonumber(exactly or ARGV[18])
local archives, oldest = count_cuts(cuts, (since or head) + 1)
local stream_archives = count_cuts(stream_cuts, 0)
local cut = bytes >= limit or marked >= limit
local cut_stream = stream_bytes >= limit
local named, named_from = tonumber(ARGV[7]), tonumber(ARGV[19])
if (cut and archives ~= named) or (cut_stream and text(stream_archives) ~= ARGV[8])
    or (since and oldest < archives and (oldest < named_from or archives > named)) then
  return { 'again', calls, text(archives), text(stream_archives), cuts }
end

-- An event that the condition excludes: the latest key first, where it is most likely.
local function excluded(query)
  for _, item in ipairs(query) do
    if #item == 0 then
      return head
    end
  end
  for index = archives, oldest, -1 do
    local key = KEYS[4]
    if index < archives then
      key = KEYS[optional + index - named_from]
    end
    for _, item in ipairs(query) do
      local found = matching(key, item, since, head, 1, math.huge)
      if #found > 0 then
        return found[1]
      end
    end
  end
  return nil
end
if since and since < head then
  local found = exactly and head or excluded(read_query(20 + 2 * count + 2 * tonumber(ARGV[17])))
  if found then
    local there = unsure and look_back()
    return there or { 'unmet', calls, text(found), text(unseen) }
  end
end
if exactly and since > head then
  return { 'behind', calls, text(head) }
end

if not youngest or number_of(youngest) < number_of(identity) then
  youngest = identity
end

local position = text(head + count)
local after = text(revision + count)

local entry = { 'XADD', KEYS[3], '', 's', ARGV[11], 'r', after, 'i', identity, 'm', ARGV[12], 't', ARGV[13] }
local copy = { 'XADD', KEYS[6], '', 'p', position, 'i', identity, 'm', ARGV[12], 't', ARGV[13] }
for index = 20, 19 + 2 * count do
  entry[#entry + 1] = ARGV[index]
  copy[#copy + 1] = ARGV[index]
end

-- What the events can be found by, in chunks.
local marks, marks_bytes = {}, 0
local function add_mark(word, offset)
  local chunk = marks[#marks]
  if not chunk or #chunk >= 2 * AT_ONCE then
    chunk = {}
    marks[#marks + 1] = chunk
  end
  local member = mark(word, head + 1 + offset)
  chunk[#chunk + 1] = '0'
  chunk[#chunk + 1] = member
  marks_bytes = marks_bytes + #member + MARK
end
for index = 20 + 2 * count, 19 + 2 * count + 2 * tonumber(ARGV[17]), 2 do
  if ARGV[index + 1] == '*' then
    for offset = 0, count - 1 do
      add_mark(ARGV[index], offset)
    end
  else
    for offset in string.gmatch(ARGV[index + 1], '%d+') do
      add_mark(ARGV[index], tonumber(offset))
    end
  end
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
  if failed(moved) then
    return moved
  end
  undo[#undo + 1] = { 'RENAMENX', archive, key }
  return moved
end

local function cut_off(keys, first)
  for index, key in ipairs(keys) do
    local moved = put_away(key, KEYS[first + index - 1])
    if failed(moved) then
      return moved
    end
  end
  return nil
end

if cut then
  local trouble = cut_off({ KEYS[3], KEYS[4] }, 7)
  if trouble then
    return refused(trouble)
  end
  bytes, marked = 0, 0
  cuts = cuts .. (cuts == '' and '' or ',') .. text(head + 1)
end
if cut_stream then
  local trouble = cut_off({ KEYS[6] }, 9)
  if trouble then
    return refused(trouble)
  end
  stream_bytes = 0
  stream_cuts = stream_cuts .. (stream_cuts == '' and '' or ',') .. text(revision + 1)
end
bytes = bytes + tonumber(ARGV[9])
stream_bytes = stream_bytes + tonumber(ARGV[9])
marked = marked + marks_bytes

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

local answer = add(KEYS[3], head + count, entry, cut or fresh)
if failed(answer) then
  local outcome = refused(answer)
  if answer.there then
    return { 'rewound', calls, text(head), answer.there }
  end
  return outcome
end
answer = add(KEYS[6], revision + count, copy, cut_stream or revision == 0)
if failed(answer) then
  local outcome = refused(answer)
  if answer.there then
    return { 'torn', calls, text(revision), answer.there }
  end
  return outcome
end
for _, chunk in ipairs(marks) do
  answer = try('ZADD', KEYS[4], unpack(chunk))
  if failed(answer) then
    return refused(answer)
  end
  local step = { 'ZREM', KEYS[4] }
  for index = 2, #chunk, 2 do
    step[#step + 1] = chunk[index]
  end
  undo[#undo + 1] = step
end

local write = {
  'MSET',
  KEYS[1], FORMAT .. ' ' .. position .. ' ' .. text(bytes) .. ' ' .. text(marked) .. ' ' .. cuts,
  KEYS[5], FORMAT .. ' ' .. after .. ' ' .. text(stream_bytes) .. ' ' .. position .. ' ' .. youngest .. ' ' .. stream_cuts,
}
local owes = '0'
if ARGV[5] ~= '' then
  local elapsed = tonumber(ARGV[5]) - raised_at
  if raised == 0 or elapsed > tonumber(ARGV[6]) or elapsed < -tonumber(ARGV[6]) then
    owes = '1'
    write[#write + 1] = KEYS[2]
    write[#write + 1] = position .. ' ' .. ARGV[5]
  end
end
if once then
  write[#write + 1] = once
  write[#write + 1] = ARGV[14] .. position .. ' ' .. after .. ARGV[15]
end
if snapshot and not fresh then
  write[#write + 1] = snapshot
  write[#write + 1] = ARGV[16]
end
if fresh then
  -- The first append here: nothing is written over that is not the library's. The namespace is from then on.
  write[1] = 'MSETNX'
  if snapshot then
    answer = try('SET', snapshot, ARGV[16])
    if failed(answer) then
      return refused(answer)
    end
    undo[#undo + 1] = { 'DEL', snapshot }
  end
end
answer = try(unpack(write))
if failed(answer) then
  return refused(answer)
end
if answer == 0 then
  refused(answer)
  return { 'occupied', calls }
end
return { 'ok', calls, position, after, owes, cut and cuts, cut_stream and text(stream_archives + 1) }
