// expect: threw | limit value_bytes
// limits: value_bytes=10000
return await host.echo({ x: 'a'.repeat(1_000_000) })
