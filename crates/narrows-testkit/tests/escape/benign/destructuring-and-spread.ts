// expect: value [1,5,{"d":2,"e":3},{"f":4,"g":[5,6]},10,1,9,[4,5],"1.0","d"]
const { a, b: { c = 5, ...others } = {} as any, ...rest } = { a: 1, b: { d: 2, e: 3 }, f: 4, g: [5, 6] };
const sum = (first: number, ...more: number[]) => more.reduce((x, y) => x + y, first);
const [p, , q = 9, ...r] = [1, 2, undefined, 4, 5];
label: for (let i = 0; ; i++) { for (;;) { if (i > 3) break label; continue label; } }
return [a, c, others, rest, sum(...[1, 2, 3], 4), p, q, r, a?.toFixed?.(1), (null ?? "d")];
