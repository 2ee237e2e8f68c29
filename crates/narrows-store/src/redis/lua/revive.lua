-- Queues a job again: id, how many more attempts.
local j = load(ARGV[1])
if not j or j.state == 'done' then return 0 end
local now = clock()
j.most = math.min(j.most + tonumber(ARGV[2]), 4294967295)
if j.state == 'running' then
  call('HSET', P .. 'j:' .. j.id, 'rv', '1', 'm', j.most)
else
  leave(j)
  j.place, j.visible = '', now
  move(j, 'queued', now, 'c', '0')
  refresh()
end
wake()
return 1
