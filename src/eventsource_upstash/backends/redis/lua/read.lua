-- A page of the log after a position.
--
-- KEYS  head, log, archive of the log
-- ARGV  position, limit, max bytes, index of the archive named in KEYS
-- Answers { 'ok', calls, head, entries, archive to name or false } or { 'foreign', calls, record }

local record = call('GET', KEYS[1])
local head, _, cuts = read_head(record)
if not head then
  return { 'foreign', calls, record }
end
local after = tonumber(ARGV[1])
if after >= head then
  return { 'ok', calls, text(head), {}, false }
end
local wanted, page =
  read_page(KEYS[2], KEYS[3], ARGV[4], cuts, after, head, tonumber(ARGV[2]), tonumber(ARGV[3]))
return { 'ok', calls, text(head), page or {}, wanted or false }
