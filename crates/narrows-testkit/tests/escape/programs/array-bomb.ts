// expect: limit memory_bytes | threw
// limits: cpu_ms=5000
const a: string[] = []; for (;;) a.push("x".repeat(100_000) + a.length)
