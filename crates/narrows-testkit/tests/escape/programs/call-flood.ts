// expect: limit calls
// limits: calls=50
for (;;) await host.echo({ n: 1 })
