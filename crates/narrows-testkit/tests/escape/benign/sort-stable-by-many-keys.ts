// expect: value ["a3y","a3w","b9z","b3x"]
const rows = [
  { team: "b", score: 3, name: "x" }, { team: "a", score: 3, name: "y" },
  { team: "b", score: 9, name: "z" }, { team: "a", score: 3, name: "w" },
];
const by = <T,>(...keys: ((t: T) => string | number)[]) => (p: T, q: T) => {
  for (const key of keys) { if (key(p) < key(q)) return -1; if (key(p) > key(q)) return 1; }
  return 0;
};
rows.sort(by((r) => r.team, (r) => -r.score));
return rows.map((r) => `${r.team}${r.score}${r.name}`);
