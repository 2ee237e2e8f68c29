# expect: threw | rejected
input()
