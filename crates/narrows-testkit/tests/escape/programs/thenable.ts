// expect: limit cpu_ms
// limits: cpu_ms=300
const t: any = { then(f: (v: unknown) => void) { f(t) } }
return await t
