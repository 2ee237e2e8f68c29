// expect: limit memory_bytes
// limits: memory_bytes=33554432
const all: number[][] = []
for (let n = 0; n < 560; n++) all.push(new Array(1e5).fill(Math.random()))
return 'not stopped'
