// expect: value [5,0,"1.234,5","/y",[[1,2]]]
const t: number = 5
enum E { A }
[t, E.A, Intl.NumberFormat('de').format(1234.5), new URL('http://x/y').pathname, structuredClone(new Map([[1, 2]]))]
