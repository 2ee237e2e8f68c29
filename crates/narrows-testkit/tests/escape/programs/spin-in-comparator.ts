// expect: limit cpu_ms
// limits: cpu_ms=300
return [3, 2, 1].sort(() => { while (true) {} })
