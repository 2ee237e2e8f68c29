// expect: limit wall_ms
// limits: wall_ms=300
return await host.hang({})
