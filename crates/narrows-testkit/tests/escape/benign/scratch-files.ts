// expect: value {"list":["log.txt","out/rows.csv","raw.bin"],"log":"page 1: 10\npage 2: 10\n","rows":3,"raw":[0,255,195,164],"again":false}
for (let page = 1; page <= 2; page++) {
  const issues = (await host.echo({ page, ids: [...Array(10).keys()] })).ids;
  scratch.append("log.txt", `page ${page}: ${issues.length}\n`);
}
scratch.write("out/rows.csv", [["id", "title"], [1, "ä"], [2, "€😀"]].map((row) => row.join(",")).join("\n"));
scratch.write("raw.bin", new Uint8Array([0, 255]));
scratch.append("raw.bin", "ä");
scratch.write("gone.json", { a: 1 });
console.log(scratch.read("gone.json"), scratch.bytes("out/rows.csv").length);
scratch.delete("gone.json");
const list = scratch.list();
return {
  list, log: scratch.read("log.txt"), rows: scratch.read("out/rows.csv").split("\n").length,
  raw: scratch.bytes("raw.bin"), again: scratch.exists("gone.json"),
};
