// expect: limit memory_bytes
// limits: cpu_ms=8000
let kept: unknown = null; for (;;) kept = { kept };
