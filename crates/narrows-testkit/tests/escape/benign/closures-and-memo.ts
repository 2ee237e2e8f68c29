// expect: value [1548008755920,61,1548008755921,61]
const memo = <A extends string | number, B>(f: (a: A) => B) => {
  const kept = new Map<A, B>();
  return (a: A): B => {
    if (!kept.has(a)) kept.set(a, f(a));
    return kept.get(a)!;
  };
};
let asked = 0;
const fib: (n: number) => number = memo((n: number) => { asked++; return n < 2 ? n : fib(n - 1) + fib(n - 2); });
return [fib(60), asked, fib(60) + 1, asked];
