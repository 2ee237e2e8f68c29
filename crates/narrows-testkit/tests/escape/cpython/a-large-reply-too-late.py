# expect: value 1
import asyncio
calls = [asyncio.ensure_future(host.echo(n=1)), asyncio.ensure_future(host.echo(late='x' * (1 << 20)))]
await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
sum(range(20_000_000))
calls[0].result()['n']
