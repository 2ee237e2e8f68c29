// expect: limit cpu_ms | limit memory_bytes
// limits: cpu_ms=200
const a = new Array(2 ** 25); for (;;) a.includes(1)
