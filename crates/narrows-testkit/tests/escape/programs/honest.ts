// expect: value 3
const a: number = 1 + 2
return a
