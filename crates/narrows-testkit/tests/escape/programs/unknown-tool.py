# expect: threw
host.no_such_tool()
