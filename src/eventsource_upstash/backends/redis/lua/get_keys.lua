-- What stands for each subject; '' for one that is not known.
--
-- KEYS  of each subject
-- Answers { 'ok', calls, what stands there }

local kept = call('MGET', unpack(KEYS))
for index, found in ipairs(kept) do
  kept[index] = found or ''
end
return { 'ok', calls, kept }
