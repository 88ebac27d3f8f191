-- A page of one stream after a revision, or after the snapshot that there is.
--
-- KEYS  stream's record, stream, archive of the stream, [snapshot]
-- ARGV  revision, limit, max bytes, index of the archive named in KEYS
-- Answers { 'ok', calls, revision, entries, archive to name or false, snapshot or false } or { 'foreign', calls, record }

local found
if KEYS[4] then
  found = call('MGET', KEYS[1], KEYS[4])
else
  found = call('MGET', KEYS[1])
end
local revision, _, _, _, cuts = read_stream(found[1])
if not revision then
  return { 'foreign', calls, found[1] }
end
local after, snapshot = tonumber(ARGV[1]), false
local kept = tonumber(string.match(found[2] or '', '^(%d+) ') or '0')
if kept > after and kept <= revision then
  after, snapshot = kept, found[2]
end
if after >= revision then
  return { 'ok', calls, text(revision), {}, false, snapshot }
end
local all, index = count_cuts(cuts, after + 1)
local key = KEYS[2]
if index < all then
  if text(index) ~= ARGV[4] then
    return { 'ok', calls, text(revision), {}, text(index), false }
  end
  key = KEYS[3]
end
local limit = tonumber(ARGV[2])
local take = bounded(tonumber(ARGV[3]))
if snapshot then
  take({ snapshot }, 0)
end
local entries = take_entries(read_entries(key, after, revision, limit), 8, limit, nil, take)
return { 'ok', calls, text(revision), entries, false, snapshot }
