-- Ends attempts: for each id, attempt, how, what is said of it, after how long again or nothing.
-- What was cancelled does not begin again.
local now = clock()
local answers, woken = {}, false
local ends = {}

function ends.done(j, result)
  move(j, 'done', now, 'rv', '0', 'rs', result)
end

function ends.failed(j, why, retry)
  if retry == '' then
    move(j, 'failed', now, 'rv', '0', 'er', why)
  elseif j.cancel then
    move(j, 'cancelled', now, 'rv', '0', 'er', why)
  elseif j.attempt >= j.most then
    move(j, 'dead', now, 'rv', '0', 'er', why)
  else
    leave(j)
    j.place, j.visible = '', math.min(now + tonumber(retry), MOST)
    move(j, 'queued', now, 'rv', '0', 'er', why)
    woken = true
  end
end

function ends.paused(j, question)
  local state = j.cancel and 'cancelled' or j.revived and 'queued' or 'paused'
  leave(j)
  j.place = ''
  if state == 'queued' then
    j.visible, woken = now, true
  end
  move(j, state, now, 'rv', '0', 'pg', question)
end

function ends.cancelled(j)
  move(j, 'cancelled', now, 'rv', '0')
end

function ends.released(j)
  if j.cancel then return ends.cancelled(j) end
  leave(j)
  -- The attempt's number is the fence and never used twice: the limit gives way.
  j.place, j.visible, j.most, woken = '', now, j.most + 1, true
  move(j, 'queued', now, 'rv', '0')
end

for at = 1, #ARGV, 5 do
  local id, attempt, how, said, retry = unpack(ARGV, at, at + 4)
  local j = load(id)
  if j and j.state == 'running' and j.attempt == tonumber(attempt) then
    ends[how](j, said, retry)
    refresh()
    woken = woken or call('HEXISTS', P .. 'q:head', j.tenant) == 1
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
if woken then wake() end
return answers
