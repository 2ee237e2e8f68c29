-- How many jobs are in each of the states given.
local counts = {}
for at, state in ipairs(ARGV) do counts[at] = call('ZCARD', P .. 'ja:' .. state) end
return counts
