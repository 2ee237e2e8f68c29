-- Hands jobs out: worker, how many, lease, how many may run for a tenant.
local worker, count, lease, cap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local RIPE, HOPS, BYTES = 1000, 1000, 16777216
local now = clock()

local function ripen(id)
  local j = load(id)
  if not j then
    call('ZREM', P .. 'q:timers', id)
  elseif j.state == 'running' and j.cancel then
    move(j, 'cancelled', now)
  elseif j.state == 'running' and j.attempt >= j.most then
    move(j, 'dead', now, 'er', 'the lease ran out at the last attempt (' .. j.attempt .. ')')
  else
    leave(j)
    make_ready(j)
    call('HSET', P .. 'j:' .. id, 'pl', 'r')
  end
end

for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'q:timers', '-inf', now, 'LIMIT', 0, RIPE)) do
  ripen(id)
end
refresh()

-- The next job's id, its tenant, and how it stands among the ready ones.
local function next_job()
  local from = '-'
  for _ = 1, HOPS do
    local head = call('ZRANGEBYLEX', P .. 'q:heads', from, '+', 'LIMIT', 0, 1)[1]
    if not head then return nil end
    if tonumber(string.sub(head, 11, 20)) < cap then
      local zero = string.find(head, '\0', 37, true)
      local id = string.sub(head, 37, zero - 1)
      return id, string.sub(head, zero + 1), string.sub(head, 1, 10) .. string.sub(head, 21, 36) .. id
    end
    -- Behind it in this priority all have as many running or more.
    from = '[' .. string.format('%010.0f', tonumber(string.sub(head, 1, 10)) + 1)
  end
  return nil
end

local function hand_out(j)
  leave(j)
  if j.state ~= 'running' then
    unfile(j)
    j.state = 'running'
    file(j)
  end
  j.attempt, j.visible = j.attempt + 1, math.min(now + lease, MOST)
  enter(j, now)
  call('HSET', P .. 'j:' .. j.id, 'st', 'running', 'a', j.attempt, 'vi', text(j.visible), 'wk', worker,
    'pl', j.place, 'rv', '0')
  return row(j.id)
end

local rows, bytes, looked = {}, 0, 0
while #rows < count and bytes < BYTES and looked < count + RIPE do
  local id, tenant, member = next_job()
  if not id then break end
  looked = looked + 1
  local j = load(id)
  if not j then
    -- Somebody removed the job's hash from outside: it must not block the others.
    call('ZREM', P .. 'q:ready:' .. tenant, member)
    stale[tenant] = true
  elseif j.state == 'running' and j.cancel then
    move(j, 'cancelled', now)
  else
    local r = hand_out(j)
    rows[#rows + 1] = r
    bytes = bytes + #r[16] + #r[11]
  end
  refresh()
end
return rows
