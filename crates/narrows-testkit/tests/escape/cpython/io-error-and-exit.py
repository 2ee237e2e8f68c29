# expect: threw ToolError
host.fail()
