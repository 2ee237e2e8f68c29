# expect: threw FileNotFoundError | threw PermissionError
open('/tmp/x','w')
