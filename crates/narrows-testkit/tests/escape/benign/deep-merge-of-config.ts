// expect: value {"a":{"b":1,"c":[3],"e":{"f":true}},"d":"x"}
type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
const isObject = (x: Json): x is { [key: string]: Json } => typeof x === "object" && x !== null && !Array.isArray(x);
function merge(base: Json, over: Json): Json {
  if (!isObject(base) || !isObject(over)) return over;
  const out = { ...base };
  for (const [key, value] of Object.entries(over)) out[key] = key in out ? merge(out[key], value) : value;
  return out;
}
return merge({ a: { b: 1, c: [1, 2] }, d: null }, { a: { c: [3], e: { f: true } }, d: "x" });
