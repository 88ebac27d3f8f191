-- Begins another build of a view beside the one that serves, unless one is building already.
--
-- KEYS  the view's record
-- Answers { 'ok', calls, record as it is then }

local record = call('GET', KEYS[1])
local view = read_view(record)
if not view then
  return { 'ok', calls, record }
end
for _, build in ipairs(view.builds) do
  if build.role == 'B' then
    return { 'ok', calls, record }
  end
end
add_build(view, 'B')
record = write_view(view)
call('SET', KEYS[1], record)
return { 'ok', calls, record }
