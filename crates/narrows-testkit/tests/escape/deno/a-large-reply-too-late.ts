// expect: value 1
const late = 'x'.repeat(1 << 20)
const first: any = await Promise.race([host.echo({ n: 1 }), host.echo({ late })])
let rest = 0
for (let n = 0; n < 3e8; n++) rest = (rest + n) | 0
return rest === 1 ? rest : first.n
