-- Removes jobs that were over before a time, at most so many.
local ids = call('ZRANGEBYSCORE', P .. 'q:over', '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  local j = load(id)
  if j then
    unfile(j)
    call('ZREM', P .. 'ja:', id)
    call('ZREM', P .. 'jp::' .. j.principal, id)
  end
  call('ZREM', P .. 'q:over', id)
  call('UNLINK', P .. 'j:' .. id)
end
return #ids
