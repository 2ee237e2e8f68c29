// expect: limit cpu_ms
// limits: cpu_ms=300
while (true) { try { while (true) {} } catch {} finally { continue } }
