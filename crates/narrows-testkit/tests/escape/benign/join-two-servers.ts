// expect: value {"Ada":19.75,"Bo":3}
const [users, orders] = await Promise.all([
  host.echo({ rows: [{ id: 1, name: "Ada" }, { id: 2, name: "Bo" }] }),
  host.echo({ rows: [{ user: 1, sum: 12.5 }, { user: 1, sum: 7.25 }, { user: 2, sum: 3 }] }),
]);
const byId = new Map(users.rows.map((u: any) => [u.id, u.name]));
const totals = new Map<string, number>();
for (const { user, sum } of orders.rows) {
  const name = byId.get(user) as string;
  totals.set(name, (totals.get(name) ?? 0) + sum);
}
return totals;
