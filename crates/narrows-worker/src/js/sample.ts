const { a, rows }: { a: number; rows: { b: string }[] } = await sample.get({ text: "a", limit: 5 });
const names = rows.filter(row => row.b !== "c").map(row => `${row.b}: ${a + 1}`);
for (const name of new Set(names)) console.log(name);
return { names, count: rows.length, sorted: [...rows].sort((x, y) => x.b.localeCompare(y.b)) };
