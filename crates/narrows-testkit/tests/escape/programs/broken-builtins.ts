// expect: value | threw | rejected | deadlock | limit cpu_ms
// limits: cpu_ms=300
JSON.stringify = (() => "{") as any; (globalThis as any).Promise = null
return await host.echo({ n: 1 })
