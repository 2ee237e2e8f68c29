# expect: value [1,"host.fail: no",3,"host.fail: no"]
import asyncio
async def one(n):
    return await (host.echo(n=n) if n % 2 else host.fail(n=n))
settled = await asyncio.gather(*[one(n) for n in range(1, 5)], return_exceptions=True)
return [str(x) if isinstance(x, ToolError) else x["n"] for x in settled]
