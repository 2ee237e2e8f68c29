// expect: threw | value
const a: any = {}; a.a = a; return a
