# expect: limit memory_bytes
[0] * 10**9
