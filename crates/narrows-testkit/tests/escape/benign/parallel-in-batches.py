# expect: value [0,1,4,9,16,25,36,49,64,81,100,121,144,169,196,225,256,289,324,361]
import asyncio
async def square(n):
    return (await host.echo(n=n))["n"] ** 2
out = []
numbers = list(range(20))
for at in range(0, len(numbers), 4):
    out += await asyncio.gather(*[square(n) for n in numbers[at:at + 4]])
out
