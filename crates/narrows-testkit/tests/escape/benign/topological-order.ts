// expect: value [["db","api","ui","app","tool"],"cycle at app"]
const needs: Record<string, string[]> = { app: ["api", "ui"], api: ["db"], ui: ["api"], db: [], tool: ["db"] };
const done: string[] = [], open = new Set<string>();
function visit(name: string) {
  if (done.includes(name)) return;
  if (open.has(name)) throw new Error(`cycle at ${name}`);
  open.add(name);
  needs[name]!.forEach(visit);
  open.delete(name);
  done.push(name);
}
Object.keys(needs).forEach(visit);
const order = [...done];
needs.db = ["app"]; done.length = 0;
let cycle; try { visit("app"); } catch (e) { cycle = (e as Error).message; }
return [order, cycle];
