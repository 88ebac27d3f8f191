-- A page of the log after a position, from the key that holds it. Answers the index of the archive that the caller has
-- to name when it named another one, and else the entries.
local function read_page(log, archive, named, cuts, after, head, limit, max_bytes)
  local all, index = count_cuts(cuts, after + 1)
  local key = log
  if index < all then
    if text(index) ~= named then
      return text(index), nil
    end
    key = archive
  end
  return nil, take_entries(read_entries(key, after, head, limit), 10, limit, max_bytes)
end

-- How far the projections are, and the page that comes next for them.
--
-- `pull` = { limit, max_bytes, rear, settle, named archive }; `checkpoints` are those that a page is asked for. Answers
-- what the caller of the script is told: after, entries; or the archive that it has to name.
local function pull_next(log, archive, notice, head, cuts, raised, checkpoints, pull)
  local after = nil
  for _, checkpoint in ipairs(checkpoints) do
    if checkpoint < head then
      if after == nil or (pull[3] == '1' and checkpoint < after) or (pull[3] ~= '1' and checkpoint > after) then
        after = checkpoint
      end
    end
  end
  if after == nil then
    -- Everybody is at the head: what the outstanding notification was sent for is done, in the step that saw the head.
    if pull[4] == '1' and raised then
      call('DEL', notice)
    end
    return text(head), {}, false
  end
  local wanted, entries = read_page(log, archive, pull[5], cuts, after, head, tonumber(pull[1]), tonumber(pull[2]))
  return text(after), entries or {}, wanted or false
end
