// expect: value [0,1,2]
const got = await Promise.all([0, 1, 2].map((n) => host.echo({ n })))
got.map((one) => one.n)
