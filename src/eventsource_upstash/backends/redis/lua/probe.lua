-- Whether scripts run, lock their keys, and may write.
--
-- KEYS  head, a key that nobody uses
-- Answers { 'ok', calls } or { 'foreign', calls, what stands at the head's key }

local kind = call('TYPE', KEYS[1])
if type(kind) == 'table' then
  kind = kind.ok
end
if kind ~= 'string' and kind ~= 'none' then
  return { 'foreign', calls, kind }
end
call('SET', KEYS[2], '1', 'EX', 1)
call('DEL', KEYS[2])
return { 'ok', calls }
