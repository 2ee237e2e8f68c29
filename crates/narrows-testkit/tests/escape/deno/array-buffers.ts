// expect: limit memory_bytes
// limits: memory_bytes=67108864
const all: Uint8Array[] = []
while (all.length < 100) all.push(new Uint8Array(8 << 20).fill(1))
return 'not stopped'
