-- Documents, as they are where commits are made: a script runs on the primary, a plain read may be answered by a copy
-- that lags behind.
--
-- KEYS  documents
-- Answers { 'ok', calls, documents, each false where there is none }, and fewer than asked for where they would make
-- the reply too large; the caller asks for the rest.

local found, take = {}, bounded(math.huge)
for start = 1, #KEYS, 1000 do
  local part = {}
  for index = start, math.min(#KEYS, start + 999) do
    part[#part + 1] = KEYS[index]
  end
  local documents = call('MGET', unpack(part))
  for index = 1, #part do
    local document = documents[index] or false
    if document and not take({ document }, 0) then
      return { 'ok', calls, found }
    end
    found[start + index - 1] = document
  end
end
return { 'ok', calls, found }
