# expect: limit cpu_ms
# limits: cpu_ms=300
while True:
    print('x' * 10_000)
