# expect: limit value_bytes | limit memory_bytes
# limits: value_bytes=10000
'a' * 1_000_000
