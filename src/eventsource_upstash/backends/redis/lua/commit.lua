-- Writes what pages made of views: documents and checkpoints of all commits that still fit, in one command, so that no
-- failure can part them. Then the page that comes next.
--
-- KEYS  head, notice, log, archive of the log, records of the views to pull..., then for each commit:
--       the view's record, the directory of its key index, documents to put, documents to delete, leaves of the index
--       that new and deleted names belong to
-- ARGV  1-5 as for a pull, but '' as the limit for none  6 number of records to pull  7 number of commits
--       then for each commit: generation, expected checkpoint, the new record's beginning and end (around the count and
--       the index's version), documents to put, those of them that are new, or '' when that is not known, documents to
--       delete, version of the directory by which leaves are named, names in the largest leaf, leaves;
--       for each leaf how many names are new and deleted, and '1' to look how large it is;
--       the documents put; the names of the new ones (or of all), and of the deleted ones, leaf by leaf
-- Answers { 'ok', calls, outcomes, large, then head, records, after, entries, archive to name or false if one is
--       pulled }: an outcome is false where the commit took effect, and else the record that stands there; `large` has
--       the commit and the leaf, counted from 1, of each leaf that has to be split
--       or { 'again', calls, for each commit false or version and directory }, with nothing written, where the index is
--       not what the caller takes it to be

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
  local leaves = tonumber(ARGV[argument + 9])
  plan[index] = {
    key = key, argument = argument, puts = puts, deletes = deletes, created = created, leaves = leaves,
    certain = ARGV[argument + 5] ~= '',
  }
  keys[#keys + 1] = KEYS[key]
  key = key + 2 + puts + deletes + leaves
  argument = argument + 10 + 3 * leaves + puts + created + deletes
end

local found = call('MGET', unpack(keys))
local head, _, cuts = read_head(found[1])
if not head then
  return { 'foreign', calls, found[1] }
end

-- Does everybody who is going to write something name the right leaves?
local stands, stale, directories = {}, {}, {}
for index, commit in ipairs(plan) do
  local at, name = commit.argument, KEYS[commit.key]
  local is, version = string.match(found[2 + pulled + index] or '1 0 0 0 ', '^(%d+ %d+) %d+ (%S+) ')
  stale[index] = false
  if (stands[name] or is) == ARGV[at] .. ' ' .. ARGV[at + 1] then
    stands[name] = ARGV[at + 2]
    if commit.leaves > 0 and version ~= ARGV[at + 7] then
      stale[index] = { version, false }
      directories[#directories + 1] = { stale[index], KEYS[commit.key + 1] }
    end
  end
end
if #directories > 0 then
  local names = {}
  for index, each in ipairs(directories) do
    names[index] = each[2]
  end
  for index, directory in ipairs(call('MGET', unpack(names))) do
    directories[index][1][2] = directory
  end
  return { 'again', calls, stale }
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
local put, deleted, removed, checkpoints, grown = {}, {}, {}, {}, {}
for index, commit in ipairs(plan) do
  local at = commit.argument
  local name = KEYS[commit.key]
  local record = written[name] or found[2 + pulled + index] or '1 0 0 0 '
  local generation, checkpoint, documents, version = string.match(record, '^(%d+) (%d+) (%d+) (%S+) ')
  if generation ~= ARGV[at] or checkpoint ~= ARGV[at + 1] then
    outcomes[index] = record
  else
    outcomes[index] = false
    local contents = at + 9 + 3 * commit.leaves
    for offset = 1, commit.puts do
      put[#put + 1] = KEYS[commit.key + 1 + offset]
      put[#put + 1] = ARGV[contents + offset]
    end
    for offset = 1, commit.deletes do
      deleted[#deleted + 1] = KEYS[commit.key + 1 + commit.puts + offset]
    end
    local added, gone = commit.created, commit.deletes
    if not commit.certain then
      added, gone = 0, 0
    end
    local new = contents + commit.puts
    local old = new + commit.created
    for leaf = 1, commit.leaves do
      local key = KEYS[commit.key + 1 + commit.puts + commit.deletes + leaf]
      local sizes = at + 9 + 3 * (leaf - 1)
      local members = {}
      for offset = 1, tonumber(ARGV[sizes + 1]) do
        members[#members + 1] = '0'
        members[#members + 1] = ARGV[new + offset]
      end
      new = new + #members / 2
      if #members > 0 then
        -- The index first: it alone can be refused for what stands at its key, and to add again changes nothing.
        local count = in_chunks({ 'ZADD', key }, members, 2)
        if not commit.certain then
          added = added + count
        end
        grown[#grown + 1] = { index, leaf, key, ARGV[sizes + 3] == '1' }
      end
      members = {}
      for offset = 1, tonumber(ARGV[sizes + 2]) do
        members[offset] = ARGV[old + offset]
      end
      old = old + #members
      if #members > 0 and commit.certain then
        removed[#removed + 1] = { key, members }
      elseif #members > 0 then
        gone = gone + in_chunks({ 'ZREM', key }, members, 1)
      end
    end
    commit.total = tonumber(documents) + added - gone
    commit.version = version
    written[name] = ARGV[at + 2] .. ' ' .. text(commit.total) .. ' ' .. version .. ' ' .. ARGV[at + 3]
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

-- As long as there is one leaf, it has a name for each document: nothing need be asked.
local large = {}
for _, each in ipairs(grown) do
  local commit = plan[each[1]]
  local largest = tonumber(ARGV[commit.argument + 8])
  if commit.version == '0' and commit.total > largest or each[4] and call('ZCARD', each[3]) > largest then
    large[#large + 1] = { text(each[1]), text(each[2]) }
  end
end

if ARGV[1] == '' then
  return { 'ok', calls, outcomes, large }
end
local records = {}
for index = 1, pulled do
  records[index] = checkpoints[KEYS[4 + index]] or found[2 + index] or false
end
local after, entries, wanted = pull_next(KEYS[3], KEYS[4], KEYS[2], head, cuts, found[2], records, ARGV)
return { 'ok', calls, outcomes, large, text(head), records, after, entries, wanted }
