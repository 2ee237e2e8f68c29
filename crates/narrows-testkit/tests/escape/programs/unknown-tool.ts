// expect: threw
return await host.noSuchTool({})
