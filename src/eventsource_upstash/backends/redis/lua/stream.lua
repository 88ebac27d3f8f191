-- A page of one stream after a revision.
--
-- KEYS  stream, archive of the stream
-- ARGV  revision, limit, max bytes, index of the archive named in KEYS
-- Answers { 'ok', calls, revision, entries, archive to name or false }

local last = call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then
  return { 'ok', calls, '0', {}, false }
end
local revision = number_of(last[1])
local after = tonumber(ARGV[1])
if after >= revision then
  return { 'ok', calls, text(revision), {}, false }
end
local all, index = count_cuts(last[2][8], after + 1)
local key = KEYS[1]
if index < all then
  if text(index) ~= ARGV[4] then
    return { 'ok', calls, text(revision), {}, text(index) }
  end
  key = KEYS[2]
end
local entries = read_entries(key, after, revision, tonumber(ARGV[2]))
return { 'ok', calls, text(revision), take_entries(entries, 12, tonumber(ARGV[2]), tonumber(ARGV[3])), false }
