-- Asks for a job's end: id.
local j = load(ARGV[1])
if not j then return 0 end
if j.state == 'queued' or j.state == 'paused' then
  move(j, 'cancelled', clock(), 'c', '1')
  refresh()
elseif j.state == 'running' then
  -- One that lost its lease stands with the ready ones: back, so that the next claim looks at it.
  leave(j)
  enter(j, 0)
  call('HSET', P .. 'j:' .. j.id, 'c', '1', 'pl', j.place)
  refresh()
end
wake()
return 1
