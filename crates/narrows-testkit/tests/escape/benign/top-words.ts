// expect: value [["the",4],["dog",2],["fox",2],["brown",1],["doesn't",1]]
const text = "The quick brown fox jumps over the lazy dog. The dog sleeps; the fox doesn't.";
const counts = new Map<string, number>();
for (const [word] of text.toLowerCase().matchAll(/[a-z']+/g))
  counts.set(word, (counts.get(word) ?? 0) + 1);
return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, 5);
