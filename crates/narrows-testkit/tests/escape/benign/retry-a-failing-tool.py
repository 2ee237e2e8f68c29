# expect: value ["gave up",{"ok":true}]
async def retry(what, times):
    for attempt in range(1, times + 1):
        try:
            return await what()
        except ToolError as error:
            print(f"attempt {attempt}: {error}")
    return "gave up"

async def bad():
    return await host.fail(id=7)

async def good():
    return await host.echo(ok=True)

return [await retry(bad, 3), await retry(good, 3)]
