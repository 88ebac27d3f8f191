-- How far projections are, the head, and the page that comes next.
--
-- KEYS  head, notice, log, archive of the log, records of the views...
-- ARGV  limit, max bytes, rear, settle, index of the archive named in KEYS, '1' where only builds that serve count, the
--       builds that do not (see `counting`)
-- Answers { 'ok', calls, head, records, after, entries, archive to name or false } or { 'foreign', calls, record }

local keys = { KEYS[1], KEYS[2] }
for index = 5, #KEYS do
  keys[#keys + 1] = KEYS[index]
end
local found = call('MGET', unpack(keys))
local head, _, cuts = read_head(found[1])
if not head then
  return { 'foreign', calls, found[1] }
end
local records, views = {}, {}
for index = 3, #keys do
  records[index - 2] = found[index] or false
  views[index - 2] = read_view(found[index]) or { builds = {} }
end
local checkpoints = counting(views, ARGV[6], ARGV[7])
local after, entries, wanted = pull_next(KEYS[3], KEYS[4], KEYS[2], head, cuts, found[2], checkpoints, ARGV)
return { 'ok', calls, text(head), records, after, entries, wanted }
