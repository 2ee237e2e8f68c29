// expect: value 1
// limits: wall_ms=3000
host.hang({})
return 1
