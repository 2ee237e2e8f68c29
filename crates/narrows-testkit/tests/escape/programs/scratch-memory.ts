// expect: limit memory_bytes | threw
// limits: cpu_ms=5000 memory_bytes=33554432 disk_bytes=1000000000000
for (;;) scratch.append("a", new Uint8Array(1_000_000));
