-- One part of a page of jobs, newest first: `one` or `all`, principal, state or nothing, limit, then
-- perhaps a time and an id where to begin. Gives where to go on, then the jobs.
local whose, principal, state, limit, score, bound = unpack(ARGV)
local SCAN, BYTES = 2000, 8388608
limit = tonumber(limit)
local set = whose == 'one' and (P .. 'jp:' .. state .. ':' .. principal) or (P .. 'ja:' .. state)
local rows, bytes = {}, 0

local function visit(id)
  local r = row(id)
  if r[1] then
    rows[#rows + 1] = r
    bytes = bytes + #r[16] + #r[12] + #r[11]
  end
  return #rows < limit and bytes < BYTES
end

local last = walk(set, false, score and { score = score, bound = bound }, SCAN, visit)
if not last or #rows >= limit then return { '', '', rows } end
return { call('ZSCORE', set, last), last, rows }
