-- Writes what pages made of views: documents, records and the views' own records of all commits that still fit, in one
-- command, so that no failure can part them. Then the page that comes next.
--
-- KEYS  head, notice, log, archive of the log, records of the views to pull..., then for each commit:
--       the view's record, the directory of the build's leaves, what to put, what to delete (documents first), leaves
--       that new and gone names belong to
-- ARGV  1-7 as for a pull, but '' as the limit for none  8 number of records to pull  9 number of commits
--       then for each commit: generation, expected checkpoint, expected edition, checkpoint, the head ('' for that of
--       the log, '-' where it is not known), notes, how many keys are put, how many deleted, new documents (or '' when that is not known), documents
--       deleted, '1' where one that is put has an end, indexes they stand in (with commas), version of the directory by
--       which leaves are named, number of leaves;
--       for each leaf how many names are new and gone, names in the largest leaf, '1' to look how large it is, and '1'
--       for a leaf of documents' keys;
--       what is put; the new names and then the gone ones, leaf by leaf
-- Answers { 'ok', calls, outcomes, large, then head, records, after, entries, archive to name or false if one is
--       pulled }: an outcome is false where the commit took effect, and else the record that stands there; `large` has
--       the commit and the leaf, counted from 1, of each leaf that has to be split
--       or { 'again', calls, for each commit false or version and directory }, with nothing written, where the leaves are
--       not what the caller takes them to be

local pulled = tonumber(ARGV[8])
local commits = tonumber(ARGV[9])

-- Where each commit's keys and arguments begin.
local plan, keys = {}, { KEYS[1], KEYS[2] }
for index = 1, pulled do
  keys[#keys + 1] = KEYS[4 + index]
end
local key, argument = 5 + pulled, 10
for index = 1, commits do
  local commit = {
    name = KEYS[key], key = key, generation = ARGV[argument], expected = ARGV[argument + 1],
    edition = ARGV[argument + 2], checkpoint = ARGV[argument + 3], head = ARGV[argument + 4],
    notes = ARGV[argument + 5], puts = tonumber(ARGV[argument + 6]), deletes = tonumber(ARGV[argument + 7]),
    certain = ARGV[argument + 8] ~= '', created = tonumber(ARGV[argument + 8]), gone = tonumber(ARGV[argument + 9]),
    ends = ARGV[argument + 10], indexes = ARGV[argument + 11], version = ARGV[argument + 12], leaves = {},
  }
  local leaves, names = tonumber(ARGV[argument + 13]), 0
  argument = argument + 14
  for leaf = 1, leaves do
    commit.leaves[leaf] = {
      key = KEYS[key + 1 + commit.puts + commit.deletes + leaf], created = tonumber(ARGV[argument]),
      gone = tonumber(ARGV[argument + 1]), largest = tonumber(ARGV[argument + 2]), look = ARGV[argument + 3] == '1',
      keys = ARGV[argument + 4] == '1',
    }
    names = names + commit.leaves[leaf].created + commit.leaves[leaf].gone
    argument = argument + 5
  end
  commit.contents = argument - 1
  commit.names = argument - 1 + commit.puts
  plan[index] = commit
  keys[#keys + 1] = KEYS[key]
  key = key + 2 + commit.puts + commit.deletes + leaves
  argument = argument + commit.puts + names
end

local found = call('MGET', unpack(keys))
local head, _, cuts = read_head(found[1])
if not head then
  return { 'foreign', calls, found[1] }
end
local views, records = {}, {}
for index, commit in ipairs(plan) do
  if not views[commit.name] then
    records[commit.name] = found[2 + pulled + index] or UNSEEN
    views[commit.name] = read_view(found[2 + pulled + index])
  end
end

-- The build that a commit is for, if it is as the commit expects it.
local function build_for(commit)
  local build = views[commit.name] and views[commit.name].of[commit.generation]
  if build and (build.role == 'S' or build.role == 'B') and build.checkpoint == commit.expected
    and build.edition == commit.edition then
    return build
  end
end

-- Does everybody who is going to write something name the right leaves?
local stale, directories = {}, {}
for index, commit in ipairs(plan) do
  local build = build_for(commit)
  stale[index] = false
  if build and #commit.leaves > 0 and build.version ~= commit.version then
    stale[index] = { build.version, false }
    directories[#directories + 1] = { stale[index], KEYS[commit.key + 1] }
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

-- In chunks: what a call takes at once is limited by the engine's stack. Answers the sum of what the calls answered, or
-- nil and the reason where one was refused.
local CHUNK = 1000
local function in_chunks(run, command, values, width)
  local sum = 0
  for start = 1, #values, CHUNK * width do
    local part = { unpack(command) }
    for index = start, math.min(#values, start + CHUNK * width - 1) do
      part[#part + 1] = values[index]
    end
    local answer = run(unpack(part))
    if type(answer) == 'table' and answer.err then
      return nil, answer.err
    end
    sum = sum + (tonumber(answer) or 0)
  end
  return sum
end

-- How many of a commit's documents there are, from the one with that number on.
local function existing(commit, first, count)
  local names = {}
  for index = 1, count do
    names[index] = KEYS[commit.key + first + index]
  end
  return in_chunks(call, { 'EXISTS' }, names, 1)
end

-- At the head, a build that serves has met it, and one that is building takes the place of the one that serves: where
-- the head is only what the caller last saw, not if it is behind that one.
local function move(view, build, commit)
  if commit.checkpoint == build.checkpoint then
    build.edition = text(tonumber(build.edition) + 1)
  else
    build.edition = '0'
  end
  build.checkpoint = commit.checkpoint
  build.notes = commit.notes
  local known = tonumber(commit.head)
  if commit.head == '' then
    known = head
  end
  if known and tonumber(commit.checkpoint) >= known then
    if build.role == 'B'
      and (commit.head == '' or tonumber(commit.checkpoint) >= tonumber(view.serving.checkpoint)) then
      view.serving.role = 'K'
      view.serving = build
      build.role = 'S'
    end
    if build.role == 'S' then
      build.met = '1'
    end
  end
end

local function note_indexes(build, names)
  for name in string.gmatch(names, '[^,]+') do
    if not string.find(',' .. build.indexes .. ',', ',' .. name .. ',', 1, true) then
      build.indexes = build.indexes == '-' and name or build.indexes .. ',' .. name
    end
  end
end

local outcomes, changed = {}, {}
local put, deleted, added, removed = {}, {}, {}, {}
for index, commit in ipairs(plan) do
  local build = build_for(commit)
  if not build then
    outcomes[index] = changed[commit.name] and write_view(views[commit.name]) or records[commit.name]
  else
    outcomes[index] = false
    changed[commit.name] = true
    commit.build = build
    for offset = 1, commit.puts do
      put[#put + 1] = KEYS[commit.key + 1 + offset]
      put[#put + 1] = ARGV[commit.contents + offset]
    end
    for offset = 1, commit.deletes do
      deleted[#deleted + 1] = KEYS[commit.key + 1 + commit.puts + offset]
    end
    local at, candidates = commit.names, 0
    for _, leaf in ipairs(commit.leaves) do
      if leaf.created > 0 then
        local members = {}
        for offset = 1, leaf.created do
          members[#members + 1] = '0'
          members[#members + 1] = ARGV[at + offset]
        end
        added[#added + 1] = { leaf.key, members, commit.certain or not leaf.keys }
        leaf.grown = true
        if leaf.keys then
          candidates = candidates + leaf.created
        end
      end
      at = at + leaf.created
    end
    for _, leaf in ipairs(commit.leaves) do
      local members = {}
      for offset = 1, leaf.gone do
        members[offset] = ARGV[at + offset]
      end
      if #members > 0 then
        removed[#removed + 1] = { leaf.key, members }
      end
      at = at + leaf.gone
    end
    local created, gone = commit.created, commit.gone
    if not commit.certain then
      created = candidates - existing(commit, 1, candidates)
      gone = existing(commit, 1 + commit.puts, commit.gone)
    end
    build.count = text(tonumber(build.count) + created - gone)
    if commit.ends == '1' then
      build.ends = '1'
    end
    note_indexes(build, commit.indexes)
    move(views[commit.name], build, commit)
  end
end
for name in pairs(changed) do
  records[name] = write_view(views[name])
  put[#put + 1] = name
  put[#put + 1] = records[name]
end

-- The names first, since they may be refused for what stands at their keys; and none of them stays if something is.
local reason
local done = {}
for _, each in ipairs(added) do
  if not reason then
    done[#done + 1] = each
    local _, refused = in_chunks(try, { 'ZADD', each[1] }, each[2], 2)
    reason = refused
  end
end
if not reason and #put > 0 then
  -- One command for documents and records: no refusal can part the one from the other.
  local answer = try('MSET', unpack(put))
  if type(answer) == 'table' and answer.err then
    reason = answer.err
  end
end
if reason then
  for _, each in ipairs(done) do
    if each[3] then
      local names = {}
      for index = 2, #each[2], 2 do
        names[#names + 1] = each[2][index]
      end
      in_chunks(try, { 'ZREM', each[1] }, names, 1)
    end
  end
  error(reason, 0)
end
if #deleted > 0 then
  in_chunks(call, { 'DEL' }, deleted, 1)
end
for _, each in ipairs(removed) do
  in_chunks(call, { 'ZREM', each[1] }, each[2], 1)
end

-- No set has more names than there are documents. As long as there is one leaf of keys, it has one for each of them.
local large = {}
for index, commit in ipairs(plan) do
  for place, leaf in ipairs(commit.leaves) do
    if leaf.grown and commit.build and tonumber(commit.build.count) > leaf.largest then
      local known = leaf.keys and commit.build.version == '0'
      if known or leaf.look and call('ZCARD', leaf.key) > leaf.largest then
        large[#large + 1] = { text(index), text(place) }
      end
    end
  end
end

if ARGV[1] == '' then
  return { 'ok', calls, outcomes, large }
end
local answered, all = {}, {}
for index = 1, pulled do
  local name = KEYS[4 + index]
  answered[index] = changed[name] and records[name] or found[2 + index] or false
  all[index] = views[name] or read_view(found[2 + index]) or { builds = {} }
end
local checkpoints = counting(all, ARGV[6], ARGV[7])
local after, entries, wanted = pull_next(KEYS[3], KEYS[4], KEYS[2], head, cuts, found[2], checkpoints, ARGV)
return { 'ok', calls, outcomes, large, text(head), answered, after, entries, wanted }
