-- No notification is outstanding any more: everybody has folded up to a position and that is the head, or the one that
-- was raised could not be sent.
--
-- KEYS  head, notice
-- ARGV  position, '' or the moment at which the notification was raised that could not be sent
-- Answers { 'ok', calls, head } or { 'foreign', calls, record }

local found = call('MGET', KEYS[1], KEYS[2])
local head = read_head(found[1])
if not head then
  return { 'foreign', calls, found[1] }
end
if found[2] then
  if ARGV[2] == '' and text(head) == ARGV[1] or found[2] == ARGV[1] .. ' ' .. ARGV[2] then
    call('DEL', KEYS[2])
  end
end
return { 'ok', calls, text(head) }
