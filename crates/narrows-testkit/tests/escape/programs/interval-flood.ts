// expect: limit cpu_ms | limit wall_ms | limit memory_bytes | threw RangeError
// limits: cpu_ms=300 wall_ms=1000
setInterval(() => { for (let i = 0; i < 1e4; i++) setTimeout(() => {}, 0) }, 0)
await new Promise(() => {})
