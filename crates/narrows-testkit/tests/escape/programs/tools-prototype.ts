// expect: value | threw | rejected
return Object.getOwnPropertyNames(Object.getPrototypeOf(tools) ?? {}).length
