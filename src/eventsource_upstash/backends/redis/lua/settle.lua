-- No notification is outstanding any more: everybody has folded up to a position and that is the head, or the one that
-- was raised could not be sent.
--
-- KEYS  head, notice
-- ARGV  position, '' or the moment at which the notification was raised that could not be sent. No two notifications
--       are raised for one position, and an append that was called again under its key does not know the moment.
-- Answers { 'ok', calls, head } or { 'foreign', calls, record }

local found = call('MGET', KEYS[1], KEYS[2])
local head = read_head(found[1])
if not head then
  return { 'foreign', calls, found[1] }
end
if found[2] then
  if ARGV[2] == '' and text(head) == ARGV[1] or ARGV[2] ~= '' and string.match(found[2], '^%d+') == ARGV[1] then
    call('DEL', KEYS[2])
  end
end
return { 'ok', calls, text(head) }
