// expect: limit disk_bytes
// limits: disk_bytes=100000
for (;;) { try { scratch.append("a/b.txt", "x".repeat(1_000)); } catch {} }
