# expect: limit memory_bytes
# limits: cpu_ms=5000 memory_bytes=33554432
x = []
while True:
    x.append('a' * 10000)
