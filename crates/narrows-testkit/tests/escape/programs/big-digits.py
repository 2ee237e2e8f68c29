# expect: limit cpu_ms | limit memory_bytes | threw
# limits: cpu_ms=300
str(10**10**6)
