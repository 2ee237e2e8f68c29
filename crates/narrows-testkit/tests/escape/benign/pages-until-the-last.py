# expect: value [0,1,2,3,4,5,6,7,8,9]
async def pages(size):
    found, page = [], 0
    while True:
        count = size if page < 3 else 1
        reply = await host.echo(items=[page * size + i for i in range(count)])
        found.extend(reply["items"])
        if len(reply["items"]) < size:
            return found
        page += 1
return await pages(3)
