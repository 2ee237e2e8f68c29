// expect: limit calls
// limits: calls=20
for (;;) await host.echo({ n: 1 })
