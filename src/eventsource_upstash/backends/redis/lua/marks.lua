-- The marks of a key of the log: what its events can be found by. Each event has a member for its type, and one for each
-- of its tags: the word ('t' and the type, 'g' and the tag), a line break, which no name holds, and the position.

-- Positions found at once under one word.
local CHUNK = 500

-- What one call takes at once is limited by the engine's stack.
local AT_ONCE = 1000

local function mark(word, position)
  local digits = text(position)
  return word .. '\n' .. string.rep('0', 16 - #digits) .. digits
end

-- The items of a query in ARGV: how many, then for each how many groups it has, then for each group how many words. An
-- event matches an item when it has one word of each group.
local function read_query(at)
  local items = {}
  for item = 1, tonumber(ARGV[at]) do
    at = at + 1
    items[item] = {}
    for group = 1, tonumber(ARGV[at]) do
      at = at + 1
      local words, count = {}, tonumber(ARGV[at])
      for index = 1, count do
        words[index] = ARGV[at + index]
      end
      items[item][group] = words
      at = at + count
    end
  end
  return items
end

-- Positions of events that have any of those words, in order; and up to where these are all there are, or nil: `last`.
local function positions_of(key, words, after, last, size)
  local found, upto = {}, nil
  for _, word in ipairs(words) do
    local members =
      call('ZRANGEBYLEX', key, '(' .. mark(word, after), '[' .. mark(word, last), 'LIMIT', 0, size)
    for _, member in ipairs(members) do
      found[#found + 1] = tonumber(string.sub(member, -16))
    end
    if #members == size and (not upto or found[#found] < upto) then
      upto = found[#found]
    end
  end
  if #words > 1 then
    table.sort(found)
    while upto and found[#found] > upto do
      found[#found] = nil
    end
  end
  return found, upto
end

-- Those of the positions whose events have a word of each group, but for the group that they were found under.
local function having(key, groups, driver, positions, found)
  local words = 0
  for index, group in ipairs(groups) do
    if index ~= driver then
      words = words + #group
    end
  end
  local width = math.max(1, math.floor(AT_ONCE / words))
  for start = 1, #positions, width do
    local ends = math.min(#positions, start + width - 1)
    local members = { 'ZMSCORE', key }
    for place = start, ends do
      for index, group in ipairs(groups) do
        if index ~= driver then
          for _, word in ipairs(group) do
            members[#members + 1] = mark(word, positions[place])
          end
        end
      end
    end
    local scores, at = call(unpack(members)), 0
    for place = start, ends do
      local all = true
      for index, group in ipairs(groups) do
        if index ~= driver then
          local any = false
          for offset = 1, #group do
            any = any or scores[at + offset]
          end
          at = at + #group
          all = all and any
        end
      end
      if all then
        found[#found + 1] = positions[place]
      end
    end
  end
end

-- Positions of at most `want` events after a position, and up to `last`, that match an item; and up to where these are
-- all there are, or nil: `last`. Looks for no more once so many commands were called.
--
-- It goes by the group whose events are fewest, as far as can be seen, and looks the other words up.
local function matching(key, item, after, last, want, most)
  local groups, found, upto = { unpack(item) }, {}, after
  repeat
    local from, size, driver, positions = upto, CHUNK, 1, nil
    if #groups == 1 then
      size = math.min(CHUNK, want - #found)
    end
    positions, upto = positions_of(key, groups[1], from, last, size)
    for index = 2, #groups do
      if not upto then
        break
      end
      local others, reaches = positions_of(key, groups[index], from, last, size)
      if not reaches or reaches > upto then
        driver, positions, upto = index, others, reaches
      end
    end
    if #groups == 1 then
      for _, position in ipairs(positions) do
        found[#found + 1] = position
      end
    elseif #positions > 0 then
      having(key, groups, driver, positions, found)
    end
    groups[1], groups[driver] = groups[driver], groups[1]
  until not upto or #found >= want or calls >= most
  if #found > want then
    upto = found[want]
  end
  while #found > want do
    found[#found] = nil
  end
  return found, upto
end
