import asyncio
first, second = await asyncio.gather(sample.get(text="a", limit=5), sample.get(text="b"))
names = [f"{row['b']}: {first['a'] + 1}" for row in second["rows"] if row["b"] != "c"]
for name in names:
    print(name)
{"names": names, "count": len(first["rows"]), "sorted": sorted(names)}
