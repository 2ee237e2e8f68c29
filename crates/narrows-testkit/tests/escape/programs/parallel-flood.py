# expect: limit calls | limit memory_bytes
# limits: calls=50
import asyncio
await asyncio.gather(*[host.echo(n=i) for i in range(10_000)])
