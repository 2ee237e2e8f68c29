// expect: limit memory_bytes
const all: number[][] = []
for (;;) all.push(new Array(1e5).fill(Math.random()))
