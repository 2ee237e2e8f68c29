// expect: limit calls | limit memory_bytes
// limits: calls=50
for (;;) host.echo({ n: 1 })
