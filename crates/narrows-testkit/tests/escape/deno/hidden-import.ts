// expect: threw TypeError
return await (0, eval)("import('http://127.0.0.1/x.js')")
