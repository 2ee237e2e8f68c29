// expect: limit cpu_ms
// limits: cpu_ms=300
return /(a+)+$/.test('a'.repeat(50) + 'b')
