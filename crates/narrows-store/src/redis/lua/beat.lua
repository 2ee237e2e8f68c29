-- Prolongs leases: the lease, then for each job id, attempt, whether there is progress, progress.
local lease = tonumber(ARGV[1])
local now = clock()
local pulses = {}
for at = 2, #ARGV, 4 do
  local id, attempt, told, progress = unpack(ARGV, at, at + 3)
  local j = load(id)
  if j and j.state == 'running' and j.attempt == tonumber(attempt) then
    leave(j)
    j.visible = math.min(now + lease, MOST)
    enter(j, now)
    call('HSET', P .. 'j:' .. id, 'vi', text(j.visible), 'pl', j.place)
    if told == '1' then call('HSET', P .. 'j:' .. id, 'pg', progress) end
    pulses[#pulses + 1] = j.cancel and 'cancel' or 'held'
  else
    pulses[#pulses + 1] = 'lost'
  end
end
refresh()
return pulses
