// expect: value ["{\n \"c\": null,\n \"d\": \"1970-01-01T00:00:00.000Z\",\n \"e\": [\n  null,\n  \"x\"\n ],\n \"\\u0001\": \"\\u0000\\\"\\\\\",\n \"toString\": 1\n}",null,"SyntaxError",[2,3]]
const value = { a: undefined, b: () => 1, c: NaN, d: new Date(0), e: [undefined], "\u0001": "\u0000\"\\" , toString: 1 };
const text = JSON.stringify(value, (key, v) => (key === "e" ? [...v, "x"] : v), 1);
let bad = "";
try { JSON.parse("{'a': 1}"); } catch (e) { bad = (e as Error).name; }
return [text, JSON.parse('{"__proto__": {"x": 1}, "n": 1e400}').n, bad, JSON.parse("[1,2]", (k, v) => Array.isArray(v) ? v : v + 1)];
