// expect: limit cpu_ms | limit memory_bytes
// limits: cpu_ms=200
const a = new Uint32Array(2e7); for (;;) a.fill(1).sort()
