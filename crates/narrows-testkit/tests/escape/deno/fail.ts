// expect: threw ToolError
await host.fail({})
