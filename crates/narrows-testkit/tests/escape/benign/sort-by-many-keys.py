# expect: value ["a3y","a3w","b9z","b3x","w",9]
rows = [
    {"team": "b", "score": 3, "name": "x"}, {"team": "a", "score": 3, "name": "y"},
    {"team": "b", "score": 9, "name": "z"}, {"team": "a", "score": 3, "name": "w"},
]
rows.sort(key=lambda r: (r["team"], -r["score"]))
first = min(rows, key=lambda r: r["name"])
[f"{r['team']}{r['score']}{r['name']}" for r in rows] + [first["name"], max(r["score"] for r in rows)]
