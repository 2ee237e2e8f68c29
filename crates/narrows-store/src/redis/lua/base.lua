-- What every script begins with. KEYS[1] is the prefix of all names; its hash tag keeps them in one
-- slot. Numbers are doubles here: whole ones are exact up to 2^53, and Rust sends no greater ones.
local P = KEYS[1]
local call = redis.call
local MOST = 9007199254740991

local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Zero has a sign here, which the server takes for no number.
local function text(n)
  if n == 0 then return '0' end
  return string.format('%.0f', n)
end

-- Lua's own `<` follows the server's locale; the sets follow the bytes.
local function before(a, b)
  local shorter = math.min(#a, #b)
  for i = 1, shorter do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- How many members of a set stand before (score, bound); the set is ordered by score, then bytes.
local function rank(set, score, bound)
  local low = call('ZCOUNT', set, '-inf', '(' .. score)
  local high = call('ZCOUNT', set, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if before(call('ZRANGE', set, middle, middle)[1], bound) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- Walks a set from a place on, `ahead` or back, and calls `visit` for each member until that gives
-- false or `scan` members were seen. Gives the last member seen, or false at the set's end.
local function walk(set, ahead, after, scan, visit)
  local at
  if after then
    at = rank(set, after.score, after.bound)
    if not ahead then at = at - 1 end
  else
    at = ahead and 0 or call('ZCARD', set) - 1
  end
  local seen = 0
  while seen < scan and at >= 0 do
    local some
    if ahead then
      some = call('ZRANGE', set, at, at + 99)
      at = at + 100
    else
      local from = math.max(at - 99, 0)
      local rising = call('ZRANGE', set, from, at)
      some = {}
      for i = #rising, 1, -1 do some[#some + 1] = rising[i] end
      at = from - 1
    end
    if #some == 0 then return false end
    for _, member in ipairs(some) do
      seen = seen + 1
      if not visit(member) then return member end
    end
    if seen >= scan then return some[#some] end
  end
  return false
end
