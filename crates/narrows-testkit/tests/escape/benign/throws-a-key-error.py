# expect: threw KeyError
rows = [{"id": 1}, {"name": "x"}]
[row["id"] for row in rows]
