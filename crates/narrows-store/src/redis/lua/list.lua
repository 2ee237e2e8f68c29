-- One part of a page: space, `one` or `all`, owner, `ahead` or `back`, limit, now, whether with
-- bodies, then perhaps a stamp and a bound where to begin. Gives where to go on (stamp and member,
-- or nothing at the end), then the records.
local space, whose, owner, direction, limit, now, bodies, score, bound = unpack(ARGV)
local SCAN, BYTES = 2000, 8388608
limit, now = tonumber(limit), tonumber(now)
local one = whose == 'one'
local set = one and (P .. 'o:' .. space .. ':' .. owner) or (P .. 's:' .. space)
local rows, bytes = {}, 0

local function visit(member)
  local id = member
  if not one then
    local zero = string.find(member, '\0', 1, true)
    id, owner = string.sub(member, 1, zero - 1), string.sub(member, zero + 1)
  end
  local record = P .. 'r:' .. name_of(space, owner, id)
  local m = call('HMGET', record, 'w', 'v', 's', 'e')
  if m[3] and (m[4] == '' or tonumber(m[4]) > now) then
    local body = bodies == '1' and call('HGET', record, 'b') or ''
    rows[#rows + 1] = { id, owner, body, m[1], m[2], m[3], m[4] }
    bytes = bytes + #body
  end
  return #rows < limit and bytes < BYTES
end

local after = score and { score = score, bound = bound }
local last = walk(set, direction == 'ahead', after, SCAN, visit)
if not last or #rows >= limit then return { '', '', rows } end
return { call('ZSCORE', set, last), last, rows }
