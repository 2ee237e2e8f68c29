// expect: value [60,3000]
// limits: memory_bytes=67108864
const kept: number[][] = []
let rest = 0
for (let n = 0; n < 3000; n++) {
  const one = new Array(5e4).fill(n)
  if (n % 50 === 0) kept.push(one)
  rest += one.length / 5e4
}
return [kept.length, rest]
