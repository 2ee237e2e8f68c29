// expect: limit cpu_ms | limit memory_bytes
// limits: cpu_ms=300
return /^(a+)+$/.test('a'.repeat(40) + 'b')
