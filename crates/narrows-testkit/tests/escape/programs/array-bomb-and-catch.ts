// expect: limit memory_bytes | limit cpu_ms
// limits: cpu_ms=500
const a: unknown[] = []; for (;;) { try { for (;;) a.push(new Array(1000).fill(1)) } catch {} }
