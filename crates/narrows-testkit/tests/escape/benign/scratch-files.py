# expect: value {"list":["log.txt","out/rows.csv","raw.bin"],"log":"one\ntwo\n","rows":3,"raw":[0,255,195,164],"again":false}
scratch.append("log.txt", "one\n")
scratch.append("log.txt", "two\n")
rows = [["id", "title"], ["1", "ä"], ["2", "€😀"]]
scratch.write("out/rows.csv", "\n".join([",".join(row) for row in rows]))
scratch.write("raw.bin", b"\x00\xff")
scratch.append("raw.bin", "ä")
scratch.write("gone.json", {"a": 1})
print(scratch.read("gone.json"), len(scratch.bytes("out/rows.csv")))
scratch.delete("gone.json")
{
    "list": await scratch.list(),
    "log": scratch.read("log.txt"),
    "rows": len(scratch.read("out/rows.csv").split("\n")),
    "raw": list(scratch.bytes("raw.bin")),
    "again": scratch.exists("gone.json"),
}
