# expect: limit memory_bytes
# limits: cpu_ms=5000
x = 'a'
while True:
    x += x
