// expect: value
let n = 0
for (let i = 0; i < 200; i++) { const a = new Uint8Array(1 << 20).fill(i); n += a[5] }
return n
