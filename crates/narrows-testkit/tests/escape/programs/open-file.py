# expect: threw | rejected
open('/etc/passwd').read()
