-- Records and weight of a space, or of an owner in it: space, `one` or `all`, owner.
local space, whose, owner = unpack(ARGV)
if whose == 'one' then
  return { call('ZCARD', P .. 'o:' .. space .. ':' .. owner), call('HGET', P .. 'w:' .. space, owner) or '0' }
end
return { call('ZCARD', P .. 's:' .. space), call('HGET', P .. 'w', space) or '0' }
