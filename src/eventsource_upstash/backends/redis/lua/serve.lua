-- Lets a build that is kept take the place of the one that serves.
--
-- KEYS  the view's record
-- ARGV  generation that serves, generation that is to serve
-- Answers { 'ok', calls, '1' where that is so then, else '0', record }

local record = call('GET', KEYS[1])
local view = read_view(record)
if not view then
  return { 'ok', calls, '0', record }
end
local present, wanted = view.of[ARGV[1]], view.of[ARGV[2]]
if present and wanted and present.role == 'K' and wanted.role == 'S' then
  return { 'ok', calls, '1', record }
end
if not (present and wanted and present.role == 'S' and wanted.role == 'K') then
  return { 'ok', calls, '0', record or false }
end
present.role, wanted.role = 'K', 'S'
record = write_view(view)
call('SET', KEYS[1], record)
return { 'ok', calls, '1', record }
