// expect: rejected | threw
return new WebAssembly.Module(new Uint8Array(8))
