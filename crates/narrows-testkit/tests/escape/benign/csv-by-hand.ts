// expect: value [{"name":"Doe, Jane","note":"said \"hi\"","n":"3"},{"name":"Bob","note":"","n":"4"}]
const csv = 'name,note,n\n"Doe, Jane","said ""hi""",3\nBob,,4\n';
function parse(text: string): string[][] {
  const rows: string[][] = [[]]; let cell = "", quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) { if (c !== '"') cell += c; else if (text[i + 1] === '"') { cell += '"'; i++; } else quoted = false; }
    else if (c === '"') quoted = true;
    else if (c === ",") { rows.at(-1)!.push(cell); cell = ""; }
    else if (c === "\n") { rows.at(-1)!.push(cell); cell = ""; rows.push([]); }
    else cell += c;
  }
  return rows.filter((row) => row.length);
}
const [head, ...rest] = parse(csv);
return rest.map((row) => Object.fromEntries(head.map((key, i) => [key, row[i]])));
