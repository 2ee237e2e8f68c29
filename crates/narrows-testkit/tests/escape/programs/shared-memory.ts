// expect: rejected | threw | value
return new SharedArrayBuffer(8).byteLength
