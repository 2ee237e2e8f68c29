# expect: value {"Ada":19.75,"Bo":3}
import asyncio
users, orders = await asyncio.gather(
    host.echo(rows=[{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo"}]),
    host.echo(rows=[{"user": 1, "sum": 12.5}, {"user": 1, "sum": 7.25}, {"user": 2, "sum": 3}]),
)
names = {u["id"]: u["name"] for u in users["rows"]}
totals = {}
for order in orders["rows"]:
    name = names[order["user"]]
    totals[name] = totals.get(name, 0) + order["sum"]
totals
