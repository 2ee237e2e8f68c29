# expect: threw | rejected
exec('x = 1')
