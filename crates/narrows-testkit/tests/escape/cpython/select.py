# expect: limit wall_ms
# limits: wall_ms=400
import select
select.select([],[],[],100)
