# expect: threw FileNotFoundError | threw PermissionError
open('/etc/passwd').read()
