-- Adds jobs, nine values each.
local now = clock()
for at = 1, #ARGV, 9 do
  local id, principal, tenant, priority, delay, most, body, worker, lease = unpack(ARGV, at, at + 8)
  if call('EXISTS', P .. 'j:' .. id) == 0 then
    local runs = lease ~= ''
    local j = {
      id = id, principal = principal, tenant = tenant, created = text(now), priority = tonumber(priority),
      state = runs and 'running' or 'queued', visible = math.min(now + tonumber(runs and lease or delay), MOST),
    }
    enter(j, now)
    call('ZADD', P .. 'ja:', now, id)
    call('ZADD', P .. 'jp::' .. principal, now, id)
    file(j)
    call('HSET', P .. 'j:' .. id, 'id', id, 'p', principal, 't', tenant, 'st', j.state, 'a', runs and 1 or 0,
      'm', most, 'pr', priority, 'vi', text(j.visible), 'wk', worker, 'c', '0', 'pg', '', 'rs', '', 'er', '',
      'cr', j.created, 'fi', '0', 'b', body, 'pl', j.place)
  end
end
refresh()
wake()
return 1
