# expect: limit cpu_ms | limit memory_bytes | threw
# limits: cpu_ms=300
10**10**8
