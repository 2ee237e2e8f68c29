# expect: value [0,1,2,3]
import asyncio
results = await asyncio.gather(*[host.echo(n=i) for i in range(4)])
[r['n'] for r in results]
