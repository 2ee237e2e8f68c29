-- Records: `r:` a hash each (b body, w weight, v version, s stamp, e expiry or nothing), `l:` the log,
-- `s:` and `o:` the order by stamp in a space and of an owner, `x` the order of expiry, `w` and `w:`
-- the sums of weights.
local function name_of(space, owner, id)
  return space .. ':' .. owner .. '\0' .. id
end

local function remove(space, owner, id, weight)
  local name = name_of(space, owner, id)
  local whose = P .. 'o:' .. space .. ':' .. owner
  call('DEL', P .. 'r:' .. name)
  call('ZREM', P .. 's:' .. space, id .. '\0' .. owner)
  call('ZREM', whose, id)
  call('ZREM', P .. 'x', name)
  call('HINCRBY', P .. 'w', space, text(-weight))
  if call('EXISTS', whose) == 0 then
    call('HDEL', P .. 'w:' .. space, owner)
  else
    call('HINCRBY', P .. 'w:' .. space, owner, text(-weight))
  end
end
