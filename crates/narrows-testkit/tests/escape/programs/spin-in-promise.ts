// expect: limit cpu_ms
// limits: cpu_ms=300
const f = async (): Promise<void> => { await null; return f() }
await f()
