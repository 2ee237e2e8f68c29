// expect: limit stack | threw | value
let x: unknown = []; for (let i = 0; i < 1e5; i++) x = [x]; return x
