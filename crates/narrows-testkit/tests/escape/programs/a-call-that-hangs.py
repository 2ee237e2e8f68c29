# expect: limit wall_ms
# limits: wall_ms=300
host.hang()
