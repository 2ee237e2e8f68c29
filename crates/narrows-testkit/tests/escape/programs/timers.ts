// expect: limit wall_ms | limit cpu_ms | value | deadlock
// limits: wall_ms=500
await new Promise(r => setTimeout(r, 1e9))
return 1
