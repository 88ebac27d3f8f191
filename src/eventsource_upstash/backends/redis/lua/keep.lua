-- Keeps a snapshot of a stream. One of a later revision stays, unless the stream has not got that far: it is from before
-- a backup was restored, and will never be right again.
--
-- KEYS  stream's record, snapshot
-- ARGV  revision, the snapshot's record
-- Answers { 'ok', calls } or { 'foreign', calls, record }

local found = call('MGET', KEYS[1], KEYS[2])
local revision = read_stream(found[1])
if not revision then
  return { 'foreign', calls, found[1] }
end
local kept = tonumber(string.match(found[2] or '', '^(%d+) ') or '0')
if kept <= tonumber(ARGV[1]) or kept > revision then
  call('SET', KEYS[2], ARGV[2])
end
return { 'ok', calls }
