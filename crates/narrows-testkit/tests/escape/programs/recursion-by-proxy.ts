// expect: limit stack | threw | limit cpu_ms | limit memory_bytes
// limits: cpu_ms=300
let p: any = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); return p.x
