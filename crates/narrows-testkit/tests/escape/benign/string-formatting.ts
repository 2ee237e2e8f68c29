// expect: value ["apple...  3 1.50\nfig..... 12 0.25","1,234,567.891","aBC","x","t",["a","b","c"]]
const rows = [["apple", 3, 1.5], ["fig", 12, 0.25]] as const;
const table = rows.map(([name, n, price]) => `${name.padEnd(8, ".")}${String(n).padStart(3)} ${price.toFixed(2)}`).join("\n");
console.log(table);
return [table, (1234567.891).toLocaleString(), "a-b_c".replaceAll(/[-_](\w)/g, (_, c) => c.toUpperCase()), "x".at(-1), " t ".trim(), "abc".split("")];
