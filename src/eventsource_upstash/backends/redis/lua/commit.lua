-- Writes what pages made of views: documents and checkpoints of all commits that still fit, in one command, so that no
-- failure can part them. Then the page that comes next.
--
-- KEYS  head, notice, log, archive of the log, records of the views to pull..., then for each commit:
--       the view's record, its key index, documents to put (the new ones first), documents to delete
-- ARGV  1-5 as for a pull, but '' as the limit for none  6 number of records to pull  7 number of commits
--       then for each commit: generation, expected checkpoint, the new record's beginning and end (around the count),
--       documents to put, those of them that are new, or '' when that is not known, documents to delete;
--       the documents put; the names of the new ones (or of all), and of the deleted ones
-- Answers { 'ok', calls, outcomes, then head, records, after, entries, archive to name or false if one is pulled }:
--       an outcome is false where the commit took effect, and else the record that stands there

local pulled = tonumber(ARGV[6])
local commits = tonumber(ARGV[7])

-- Where each commit's keys and arguments begin.
local plan, keys = {}, { KEYS[1], KEYS[2] }
for index = 1, pulled do
  keys[#keys + 1] = KEYS[4 + index]
end
local key, argument = 5 + pulled, 8
for index = 1, commits do
  local puts, deletes = tonumber(ARGV[argument + 4]), tonumber(ARGV[argument + 6])
  local created = tonumber(ARGV[argument + 5]) or puts
  plan[index] = {
    key = key, argument = argument, puts = puts, deletes = deletes, created = created,
    certain = ARGV[argument + 5] ~= '',
  }
  keys[#keys + 1] = KEYS[key]
  key = key + 2 + puts + deletes
  argument = argument + 7 + puts + created + deletes
end

local found = call('MGET', unpack(keys))
local head, _, cuts = read_head(found[1])
if not head then
  return { 'foreign', calls, found[1] }
end

-- In chunks: what a call takes at once is limited by the engine's stack.
local CHUNK = 1000
local function in_chunks(command, values, width)
  local sum = 0
  for start = 1, #values, CHUNK * width do
    local part = { unpack(command) }
    for index = start, math.min(#values, start + CHUNK * width - 1) do
      part[#part + 1] = values[index]
    end
    sum = sum + (tonumber(call(unpack(part))) or 0)
  end
  return sum
end

local outcomes, written = {}, {}
local put, deleted, removed, checkpoints = {}, {}, {}, {}
for index, commit in ipairs(plan) do
  local at = commit.argument
  local name = KEYS[commit.key]
  local record = written[name] or found[2 + pulled + index] or '1 0 0 '
  local generation, checkpoint, documents = string.match(record, '^(%d+) (%d+) (%d+) ')
  if generation ~= ARGV[at] or checkpoint ~= ARGV[at + 1] then
    outcomes[index] = record
  else
    outcomes[index] = false
    local names = at + 6 + commit.puts
    local added = commit.created
    if commit.created > 0 then
      local members = {}
      for offset = 1, commit.created do
        members[#members + 1] = '0'
        members[#members + 1] = ARGV[names + offset]
      end
      -- The index first: it alone can be refused for what stands at its key, and to add again changes nothing.
      local new = in_chunks({ 'ZADD', KEYS[commit.key + 1] }, members, 2)
      if not commit.certain then
        added = new
      end
    end
    for offset = 1, commit.puts do
      put[#put + 1] = KEYS[commit.key + 1 + offset]
      put[#put + 1] = ARGV[at + 6 + offset]
    end
    local gone = commit.deletes
    if commit.deletes > 0 then
      local members = {}
      for offset = 1, commit.deletes do
        deleted[#deleted + 1] = KEYS[commit.key + 1 + commit.puts + offset]
        members[offset] = ARGV[names + commit.created + offset]
      end
      if commit.certain then
        removed[#removed + 1] = { KEYS[commit.key + 1], members }
      else
        gone = in_chunks({ 'ZREM', KEYS[commit.key + 1] }, members, 1)
      end
    end
    local total = text(tonumber(documents) + added - gone)
    written[name] = ARGV[at + 2] .. ' ' .. total .. ' ' .. ARGV[at + 3]
    checkpoints[name] = written[name]
  end
end
for name, record in pairs(checkpoints) do
  put[#put + 1] = name
  put[#put + 1] = record
end
if #put > 0 then
  -- One command for documents and checkpoints: no refusal can part the one from the other.
  call('MSET', unpack(put))
end
if #deleted > 0 then
  in_chunks({ 'DEL' }, deleted, 1)
end
for _, each in ipairs(removed) do
  in_chunks({ 'ZREM', each[1] }, each[2], 1)
end

if ARGV[1] == '' then
  return { 'ok', calls, outcomes }
end
local records = {}
for index = 1, pulled do
  records[index] = checkpoints[KEYS[4 + index]] or found[2 + index]
end
local after, entries, wanted = pull_next(KEYS[3], KEYS[4], KEYS[2], head, cuts, found[2], records, ARGV)
return { 'ok', calls, outcomes, text(head), records, after, entries, wanted }
