// expect: value [[0,3,1,3],[3,0,3,1],[1,3,0,3],[3,1,3,0]]
const distance = (a: string, b: string) => {
  let row = [...Array(b.length + 1).keys()];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + Number(a[i - 1] !== b[j - 1]));
    row = next;
  }
  return row[b.length];
};
const names = ["kitten", "sitting", "mitten", "fitting"];
return names.map((n) => names.map((m) => distance(n, m)));
