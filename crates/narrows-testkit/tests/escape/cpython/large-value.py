# expect: limit value_bytes
# limits: value_bytes=1000
'x' * 2000
