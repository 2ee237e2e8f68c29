// expect: limit stack | threw
const f = (n: number): number => f(n + 1) + 1
return f(0)
