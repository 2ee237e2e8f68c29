// expect: limit value_bytes
// limits: value_bytes=10000
return 'a'.repeat(1_000_000)
