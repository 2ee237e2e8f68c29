# expect: threw | rejected
eval('1 + 1')
