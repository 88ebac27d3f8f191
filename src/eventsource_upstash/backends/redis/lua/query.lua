-- A page of the events that a query means, after a position.
--
-- KEYS  head, log, marks, then an archive of the log and of the marks in turns
-- ARGV  position, limit, max bytes, index of the first archive named in KEYS, the query
-- Answers { 'ok', calls, head, found, up to where was looked, false }: of each entry its id, its number of events, its
--       words before the first one, and offset, type and payload of each event that was found
--   or { 'ok', calls, head, {}, position, cuts of the log } when the archive to begin with has to be named
--   or { 'lost', calls, position } for a mark without its event, or { 'foreign', calls, record }

-- Commands after which no further marks are looked at, and no further events read. What is left comes with the next page.
local MOST_LOOKS = 60
local MOST_CALLS = 160

-- Events that are read from one entry to another, rather than with a command more.
local NEAR = 10
local RUN = 200

local record = call('GET', KEYS[1])
local head, _, cuts = read_head(record)
if not head then
  return { 'foreign', calls, record }
end
local reached = tonumber(ARGV[1])
if reached >= head then
  return { 'ok', calls, text(head), {}, text(head), false }
end
local limit, first = tonumber(ARGV[2]), tonumber(ARGV[4])
local items = read_query(5)

local function merged(key, last, want)
  local found, upto, known = {}, nil, {}
  for _, item in ipairs(items) do
    local positions, reaches = matching(key, item, reached, last, want, MOST_LOOKS)
    for _, position in ipairs(positions) do
      if not known[position] then
        known[position] = true
        found[#found + 1] = position
      end
    end
    if reaches and (not upto or reaches < upto) then
      upto = reaches
    end
  end
  table.sort(found)
  while #found > 0 and upto and found[#found] > upto do
    found[#found] = nil
  end
  if #found > want then
    upto = found[want]
  end
  while #found > want do
    found[#found] = nil
  end
  return found, upto
end

local page, events, ended, lost = {}, 0, false, nil
local take = bounded(tonumber(ARGV[3]))

-- Takes the event at a position out of the entry that holds it; answers whether it was taken.
local function take_event(entry, at, position)
  local ends, fields = number_of(entry[1]), entry[2]
  local count = (#fields - 10) / 2
  local offset = position - (ends - count + 1)
  local field = 11 + 2 * offset
  local words, common = { text(offset), fields[field], fields[field + 1] }, nil
  local counted = words
  if not at then
    common = { unpack(fields, 1, 10) }
    counted = { unpack(common) }
    for _, word in ipairs(words) do
      counted[#counted + 1] = word
    end
  end
  local fits, full = take(counted, size_of(words[3]))
  if not fits then
    ended = true
    return at, false
  end
  if not at then
    at = { entry[1], text(count), common, {} }
    page[#page + 1] = at
  end
  for _, word in ipairs(words) do
    at[4][#at[4] + 1] = word
  end
  events = events + 1
  reached = position
  ended = full or events >= limit
  return at, true
end

local function read_events(key, positions)
  local index = 1
  while index <= #positions and not ended and not lost do
    if calls >= MOST_CALLS and events > 0 then
      ended = true
      return
    end
    local runs = index
    while positions[runs + 1] and positions[runs + 1] - positions[runs] <= NEAR
        and positions[runs + 1] - positions[index] < RUN do
      runs = runs + 1
    end
    local start, entries = text(positions[index]) .. '-0', {}
    if runs > index then
      entries = call('XRANGE', key, start, text(positions[runs]), 'COUNT', RUN)
    end
    if #entries == 0 then
      entries = call('XRANGE', key, start, '+', 'COUNT', 1)
    end
    if #entries == 0 then
      lost = positions[index]
    end
    for _, entry in ipairs(entries) do
      local ends, at, taken = number_of(entry[1]), nil, true
      while positions[index] and positions[index] <= ends and not ended and not lost do
        if positions[index] <= ends - (#entry[2] - 10) / 2 then
          lost = positions[index]
        else
          at, taken = take_event(entry, at, positions[index])
          if taken then
            index = index + 1
          end
        end
      end
    end
  end
end

local starts = { 1 }
for cut in string.gmatch(cuts, '%d+') do
  starts[#starts + 1] = tonumber(cut)
end
local all, index = count_cuts(cuts, reached + 1)
local begins = index
while index <= all and not ended and not lost and calls < MOST_LOOKS do
  local log, marks, last = KEYS[2], KEYS[3], head
  if index < all then
    log, marks, last = nil, nil, starts[index + 2] - 1
    if index >= first then
      log, marks = KEYS[4 + 2 * (index - first)], KEYS[5 + 2 * (index - first)]
    end
    if not log then
      if index == begins then
        return { 'ok', calls, text(head), {}, text(reached), cuts }
      end
      break
    end
  end
  local positions, upto = merged(marks, last, limit - events)
  read_events(log, positions)
  if not ended and not lost then
    reached = upto or last
    if upto then
      break
    end
  end
  index = index + 1
end
if lost and #page == 0 then
  return { 'lost', calls, text(lost) }
end
return { 'ok', calls, text(head), page, text(reached), false }
