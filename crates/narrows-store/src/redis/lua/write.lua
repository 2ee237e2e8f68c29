-- Tries all changes on drafts, in their order; then makes what came out of them. Gives 1, or 0 if
-- something was not as expected: then nothing was written.
local now = clock()
local drafts, order = {}, {}

local function draft_of(space, owner, id)
  local name = name_of(space, owner, id)
  local d = drafts[name]
  if d then return d end
  d = { name = name, space = space, owner = owner, id = id, entries = {} }
  local m = call('HMGET', P .. 'r:' .. name, 'w', 'v', 's', 'e')
  if m[2] then
    d.weight_before, d.timed_before = tonumber(m[1]), m[4] ~= ''
    d.there, d.weight, d.version, d.stamp, d.expires = true, tonumber(m[1]), tonumber(m[2]), m[3], m[4]
  end
  drafts[name] = d
  order[#order + 1] = d
  return d
end

local function alive(d)
  return d.there and (d.expires == '' or tonumber(d.expires) > now)
end

local function clear(d)
  d.there, d.body, d.cleared, d.changed = false, nil, true, true
  d.length, d.entries = 0, {}
end

local at = 1
local function take()
  at = at + 1
  return ARGV[at - 1]
end

local try = {}

function try.put(d)
  local expect, weight, stamp, expires = take(), take(), take(), take()
  at = at + 1
  local was = alive(d)
  if expect == 'absent' then
    if was then return false end
  elseif expect ~= 'any' then
    if not was or d.version ~= tonumber(expect) then return false end
  end
  -- A record that comes after an expired one finds nothing of it.
  if d.there and not was then clear(d) end
  d.version = was and d.version + 1 or 1
  d.there, d.weight, d.stamp, d.expires, d.body = true, tonumber(weight), stamp, expires, at - 1
  d.changed = true
  return true
end

function try.add(d)
  local weight, stamp = tonumber(take()), take()
  if alive(d) then
    d.weight = math.min(d.weight + weight, MOST)
  else
    if d.there then clear(d) end
    d.there, d.weight, d.version, d.expires, d.body = true, weight, 1, '', 0
  end
  d.stamp, d.changed = stamp, true
  return true
end

function try.touch(d)
  local stamp, expires = take(), take()
  if alive(d) then
    d.stamp, d.expires, d.changed = stamp, expires, true
  end
  return true
end

function try.delete(d)
  clear(d)
  return true
end

function try.append(d)
  local from, count = tonumber(take()), tonumber(take())
  local first = at
  at = at + count
  d.length = d.length or call('LLEN', P .. 'l:' .. d.name)
  if d.length ~= from then return false end
  if count > 0 then
    d.entries[#d.entries + 1] = { first, first + count - 1 }
    d.length, d.changed = d.length + count, true
  end
  return true
end

while at <= #ARGV do
  local what, space, owner, id = take(), take(), take(), take()
  if not try[what](draft_of(space, owner, id)) then return 0 end
end

local function write_log(d)
  local log = P .. 'l:' .. d.name
  if d.cleared then call('UNLINK', log) end
  for _, range in ipairs(d.entries) do
    -- Lua unpacks some thousand values at once, not more.
    for first = range[1], range[2], 1000 do
      call('RPUSH', log, unpack(ARGV, first, math.min(first + 999, range[2])))
    end
  end
end

local function write_record(d)
  local record = P .. 'r:' .. d.name
  if d.body then
    call('HSET', record, 'b', ARGV[d.body] or '', 'w', text(d.weight), 'v', text(d.version), 's', d.stamp, 'e', d.expires)
  else
    call('HSET', record, 'w', text(d.weight), 'v', text(d.version), 's', d.stamp, 'e', d.expires)
  end
  call('ZADD', P .. 's:' .. d.space, d.stamp, d.id .. '\0' .. d.owner)
  call('ZADD', P .. 'o:' .. d.space .. ':' .. d.owner, d.stamp, d.id)
  if d.expires ~= '' then
    call('ZADD', P .. 'x', d.expires, d.name)
  elseif d.timed_before then
    call('ZREM', P .. 'x', d.name)
  end
  local more = d.weight - (d.weight_before or 0)
  if more ~= 0 then
    call('HINCRBY', P .. 'w', d.space, text(more))
    call('HINCRBY', P .. 'w:' .. d.space, d.owner, text(more))
  end
end

for _, d in ipairs(order) do
  if d.changed then
    write_log(d)
    if d.there then
      write_record(d)
    elseif d.weight_before then
      remove(d.space, d.owner, d.id, d.weight_before)
    end
  end
end
return 1
