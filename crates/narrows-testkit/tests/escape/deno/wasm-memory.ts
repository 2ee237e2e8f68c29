// expect: limit memory_bytes
// limits: memory_bytes=67108864
const all: WebAssembly.Memory[] = []
for (let n = 0; n < 100; n++) {
  all.push(new WebAssembly.Memory({ initial: 128 }))
  new Uint8Array(all[n].buffer).fill(1)
}
return 'not stopped'
