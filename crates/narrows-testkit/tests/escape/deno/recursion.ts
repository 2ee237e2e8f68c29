// expect: limit stack
function f(): number { return f() + 1 }
f()
