-- The names that a build's documents stand under, in order: their keys, what an index has of them, their ends. Each such
-- set is cut into leaves, and a directory has a line for each leaf but the first of its set, in order: the set's word,
-- the leaf's number, a space, its first name, a newline (which no name holds).

-- Whether a name comes after another one, byte by byte: the engine's own comparison may go by its locale.
local function is_after(left, right)
  for index = 1, math.min(#left, #right) do
    local one, other = string.byte(left, index), string.byte(right, index)
    if one ~= other then
      return one > other
    end
  end
  return #left > #right
end

-- The numbers of a set's leaves, and the first name of each.
local function leaves_of(directory, set)
  local numbers, firsts = { '0' }, { '' }
  for word, number, first in string.gmatch(directory, '(%S+) (%d+) ([^\n]*)\n') do
    if word == set then
      numbers[#numbers + 1] = number
      firsts[#firsts + 1] = first
    end
  end
  return numbers, firsts
end

-- Which of the leaves a bound belongs to: '-', '+', or a name behind '[' or '('.
local function leaf_at(firsts, bound)
  if bound == '-' then
    return 1
  end
  local low, high = 1, #firsts
  if bound == '+' then
    return high
  end
  local name = string.sub(bound, 2)
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if is_after(firsts[middle], name) then
      high = middle - 1
    else
      low = middle
    end
  end
  return low
end

-- The key of a leaf. Python makes the same names.
local function leaf_key(set, generation, number)
  local key = ARGV[1] .. set .. ':' .. ARGV[2] .. ':' .. generation
  if number ~= '0' then
    key = key .. ':' .. number
  end
  return key
end

-- The key of the document that a name stands for, behind the value that it is found by.
local function key_in(name)
  return string.sub(name, string.find(name, '\t', 1, true) + 1)
end

-- What a document is found by stands before it: a newline, its end, and a line for each index. Answers that, nil where
-- there is nothing, and where the content begins.
local function header_of(document)
  if string.byte(document, 1) ~= 10 then
    return nil, 1
  end
  local ends = string.find(document, '\n\n', 2, true)
  return string.sub(document, 1, ends), ends + 2
end

local function has_ended(header, now)
  local moment = header and tonumber(string.match(header, '^\n(%-?%d+)\n') or nil)
  return moment and moment <= now
end

-- The value that a document has in an index, or nil.
local function value_in(header, index)
  local _, at = string.find(header or '', '\n' .. index .. ' ', 1, true)
  if not at then
    return nil
  end
  return string.sub(header, at + 1, string.find(header, '\n', at, true) - 1)
end
