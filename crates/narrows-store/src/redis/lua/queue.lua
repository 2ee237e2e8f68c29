-- Jobs: `j:` a hash each. `ja:` and `jp:` are the orders of age, of all and of a principal, in every
-- state and in each. `q:over` is the order of ends. `q:timers` holds what waits for its time and
-- what runs; `q:ready:` a tenant's ready jobs, first who is to go first; `q:heads` the first of each
-- tenant behind its priority and the number of jobs that run for its tenant, so that the first head
-- is always the next job; `q:head` a tenant's entry there; `q:running` how many run.
local FIELDS = { 'id', 'p', 't', 'st', 'a', 'm', 'pr', 'vi', 'wk', 'c', 'pg', 'rs', 'er', 'cr', 'fi', 'b' }
local OVER = { done = true, failed = true, dead = true, cancelled = true }
local stale = {}

local function load(id)
  local m = call('HMGET', P .. 'j:' .. id, 'p', 't', 'st', 'a', 'm', 'pr', 'vi', 'c', 'cr', 'rv', 'pl')
  if not m[3] then return nil end
  return {
    id = id, principal = m[1], tenant = m[2], state = m[3], attempt = tonumber(m[4]),
    most = tonumber(m[5]), priority = tonumber(m[6]), visible = tonumber(m[7]), cancel = m[8] == '1',
    created = m[9], revived = m[10] == '1', place = m[11],
  }
end

local function row(id)
  return call('HMGET', P .. 'j:' .. id, unpack(FIELDS))
end

local function ready_member(j)
  return string.format('%010.0f%016.0f', 2147483647 - j.priority, j.visible) .. j.id
end

local function count_running(tenant, n)
  if call('HINCRBY', P .. 'q:running', tenant, n) <= 0 then
    call('HDEL', P .. 'q:running', tenant)
  end
  stale[tenant] = true
end

-- Makes the heads of all tenants true whose jobs were moved.
local function refresh()
  for tenant in pairs(stale) do
    local old = call('HGET', P .. 'q:head', tenant)
    local first = call('ZRANGE', P .. 'q:ready:' .. tenant, 0, 0)[1]
    local new = false
    if first then
      local running = tonumber(call('HGET', P .. 'q:running', tenant) or 0)
      new = string.sub(first, 1, 10) .. string.format('%010.0f', running) .. string.sub(first, 11) .. '\0' .. tenant
    end
    if old ~= new then
      if old then call('ZREM', P .. 'q:heads', old) end
      if new then
        call('ZADD', P .. 'q:heads', 0, new)
        call('HSET', P .. 'q:head', tenant, new)
      else
        call('HDEL', P .. 'q:head', tenant)
      end
    end
  end
  stale = {}
end

local function make_ready(j)
  call('ZADD', P .. 'q:ready:' .. j.tenant, 0, ready_member(j))
  j.place, stale[j.tenant] = 'r', true
end

-- Puts a job where it belongs as it now is.
local function enter(j, now)
  j.place = ''
  if j.state == 'queued' and j.visible <= now then
    make_ready(j)
  elseif j.state == 'queued' or j.state == 'running' then
    call('ZADD', P .. 'q:timers', j.visible, j.id)
    j.place = 't'
    if j.state == 'running' then count_running(j.tenant, 1) end
  end
end

-- Takes a job from where it stood; to be called before anything of it is changed.
local function leave(j)
  if j.place == 't' then
    call('ZREM', P .. 'q:timers', j.id)
    if j.state == 'running' then count_running(j.tenant, -1) end
  elseif j.place == 'r' then
    call('ZREM', P .. 'q:ready:' .. j.tenant, ready_member(j))
    stale[j.tenant] = true
  end
end

local function file(j)
  call('ZADD', P .. 'ja:' .. j.state, j.created, j.id)
  call('ZADD', P .. 'jp:' .. j.state .. ':' .. j.principal, j.created, j.id)
end

local function unfile(j)
  call('ZREM', P .. 'ja:' .. j.state, j.id)
  call('ZREM', P .. 'jp:' .. j.state .. ':' .. j.principal, j.id)
end

-- Changes a job's state and place and writes both down with the fields given.
local function move(j, state, now, ...)
  leave(j)
  if j.state ~= state then
    unfile(j)
    if OVER[j.state] then call('ZREM', P .. 'q:over', j.id) end
    j.state = state
    file(j)
    if OVER[state] then call('ZADD', P .. 'q:over', now, j.id) end
  end
  enter(j, now)
  call('HSET', P .. 'j:' .. j.id, 'st', state, 'a', j.attempt, 'm', j.most, 'vi', text(j.visible),
    'fi', OVER[state] and text(now) or '0', 'pl', j.place, ...)
end

local function wake()
  call('PUBLISH', P .. 'wake', '1')
end
