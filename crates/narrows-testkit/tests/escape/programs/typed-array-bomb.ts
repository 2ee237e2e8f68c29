// expect: limit memory_bytes | threw
return new Uint8Array(4e9).length
