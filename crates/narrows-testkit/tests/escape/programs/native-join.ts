// expect: limit cpu_ms | limit memory_bytes
// limits: cpu_ms=200
return new Array(1e8).join('ab').length
