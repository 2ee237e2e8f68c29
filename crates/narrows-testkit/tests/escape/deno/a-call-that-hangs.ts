// expect: limit wall_ms
// limits: wall_ms=600
await host.hang({})
