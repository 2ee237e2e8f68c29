// expect: value
const log = console.log; log('a', { b: 1 }); console.error('x')
const big = Array.from({ length: 100_000 }, (_, i) => (i * 7919) % 100_003).sort((a, b) => a - b)
const text = JSON.stringify({ big, nested: { s: 'ü€😀'.repeat(1000) } })
const back = JSON.parse(text)
const all = await Promise.all([1, 2, 3].map(n => host.echo({ n })))
await new Promise(r => setTimeout(r, 50))
return [big.length, text.length, back.big[5], all.length, Math.random() < 1, (2n ** 200n).toString(), 'abc'.localeCompare('abd'),
  new Map([[1, 2]]).size, 'é'.normalize('NFD').length, /\p{L}+/u.test('ä'), typeof performance === 'object' ? 1 : 0]
