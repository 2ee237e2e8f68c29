-- Removes records that have expired, with their logs: now, at most how many.
local names = call('ZRANGEBYSCORE', P .. 'x', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do
  local colon = string.find(name, ':', 1, true)
  local zero = string.find(name, '\0', colon, true)
  local weight = call('HGET', P .. 'r:' .. name, 'w') or '0'
  call('UNLINK', P .. 'l:' .. name)
  remove(string.sub(name, 1, colon - 1), string.sub(name, colon + 1, zero - 1), string.sub(name, zero + 1), tonumber(weight))
end
return #names
