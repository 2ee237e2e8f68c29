// expect: limit memory_bytes | threw
let s = 'a'; for (;;) s += s
