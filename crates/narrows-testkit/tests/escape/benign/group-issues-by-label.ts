// expect: value [["bug",[1,3]],["feature",[2]],["p1",[1]]]
interface Issue { id: number; title: string; labels: string[] }
const { issues } = await host.echo({
  issues: [
    { id: 1, title: "Crash on start", labels: ["bug", "p1"] },
    { id: 2, title: "Dark mode", labels: ["feature"] },
    { id: 3, title: "Slow search", labels: ["bug"] },
  ] as Issue[],
});
const groups: Record<string, number[]> = {};
for (const issue of issues as Issue[])
  for (const label of issue.labels) (groups[label] ??= []).push(issue.id);
console.log(`${issues.length} issues`, groups);
return Object.entries(groups).sort(([a], [b]) => (a < b ? -1 : 1));
