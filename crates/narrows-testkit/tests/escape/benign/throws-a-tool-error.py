# expect: threw ToolError
users = await host.echo(ids=[1, 2])
for id in users["ids"]:
    await host.fail(id=id)
