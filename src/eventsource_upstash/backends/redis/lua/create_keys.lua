-- The key of each subject: the one that is there, or else the one offered.
--
-- KEYS  of each subject
-- ARGV  what stands there for a subject that was readmitted, then of each subject, what is offered
-- Answers { 'ok', calls, what stands there from now on }

local kept = call('MGET', unpack(KEYS))
local new = {}
for index, found in ipairs(kept) do
  if not found or found == ARGV[1] then
    kept[index] = ARGV[index + 1]
    new[#new + 1] = KEYS[index]
    new[#new + 1] = kept[index]
  end
end
if #new > 0 then
  call('MSET', unpack(new))
end
return { 'ok', calls, kept }
