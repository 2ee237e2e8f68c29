// expect: threw RangeError
function check(n: number): number {
  if (n > 2) throw new RangeError(`too many: ${n}`);
  return check(n + 1);
}
console.log("before");
check(0);
