# expect: threw ValueError
# limits: cpu_ms=5000
raise ValueError("x" * 20_000_000)
