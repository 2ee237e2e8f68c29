# expect: limit cpu_ms
# limits: cpu_ms=300
while True: pass
