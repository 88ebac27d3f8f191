-- A subject that was forgotten may be given a key again. A key stays as it is.
--
-- KEYS  of the subject
-- ARGV  what stands there for a subject that was forgotten, and for one that was readmitted
-- Answers { 'ok', calls }

if call('GET', KEYS[1]) == ARGV[1] then
  call('SET', KEYS[1], ARGV[2])
end
return { 'ok', calls }
