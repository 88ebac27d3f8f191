-- The record of a view: a line with its format and the highest generation that there ever was, then a line for each of
-- its builds. All of them stand in one key, so that one write lets one build take the place of another.
--
-- A build's line: generation, checkpoint, edition, number of documents, version of its directory of leaves, role, '1'
-- where it has met the head, '1' where a document of it ever had an end, the names of the indexes that documents of it
-- ever stood in (or '-'), notes.

local UNSEEN = '1 1\n1 0 0 0 0 S 0 0 - \n'

-- The builds of a view, of a record that may not be there; nil for a record that is none.
local function read_view(record)
  local last, lines = string.match(record or UNSEEN, '^1 (%d+)\n(.*)$')
  if not last then
    return nil
  end
  local view = { last = last, builds = {}, of = {} }
  for generation, checkpoint, edition, count, version, role, met, ends, indexes, notes in
    string.gmatch(lines, '(%d+) (%d+) (%d+) (%d+) (%S+) (%u) (%d) (%d) (%S+) ([^\n]*)\n')
  do
    local build = {
      generation = generation, checkpoint = checkpoint, edition = edition, count = count, version = version,
      role = role, met = met, ends = ends, indexes = indexes, notes = notes,
    }
    view.builds[#view.builds + 1] = build
    view.of[generation] = build
    if role == 'S' then
      view.serving = build
    end
  end
  if not view.serving then
    return nil
  end
  return view
end

local function write_view(view)
  local lines = { '1 ' .. view.last .. '\n' }
  for _, build in ipairs(view.builds) do
    lines[#lines + 1] = table.concat({
      build.generation, build.checkpoint, build.edition, build.count, build.version, build.role, build.met, build.ends,
      build.indexes, build.notes,
    }, ' ') .. '\n'
  end
  return table.concat(lines)
end

-- A new build, with the next generation.
local function add_build(view, role)
  view.last = text(tonumber(view.last) + 1)
  local build = {
    generation = view.last, checkpoint = '0', edition = '0', count = '0', version = '0', role = role, met = '0',
    ends = '0', indexes = '-', notes = '',
  }
  view.builds[#view.builds + 1] = build
  view.of[view.last] = build
  return build
end

-- The checkpoints of the builds that a page is asked for. `aside` has ' 2:7 ' in it where build 7 of the second view
-- does not count.
local function counting(views, serving, aside)
  local checkpoints = {}
  for index, view in ipairs(views) do
    for _, build in ipairs(view.builds) do
      if (build.role == 'S' or build.role == 'B' and serving ~= '1')
        and not string.find(aside, ' ' .. text(index) .. ':' .. build.generation .. ' ', 1, true) then
        checkpoints[#checkpoints + 1] = tonumber(build.checkpoint)
      end
    end
  end
  return checkpoints
end
