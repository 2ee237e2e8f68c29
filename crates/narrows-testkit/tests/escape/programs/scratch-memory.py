# expect: limit memory_bytes
# limits: cpu_ms=5000 memory_bytes=33554432 disk_bytes=1000000000000
while True:
    scratch.append("a", b"x" * 1000000)
