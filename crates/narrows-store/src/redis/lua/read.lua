-- Entries of a log: space, owner, id, first, last. None if its record has expired.
local name = name_of(ARGV[1], ARGV[2], ARGV[3])
local expires = call('HGET', P .. 'r:' .. name, 'e')
if expires and expires ~= '' and tonumber(expires) <= clock() then return {} end
return call('LRANGE', P .. 'l:' .. name, ARGV[4], ARGV[5])
