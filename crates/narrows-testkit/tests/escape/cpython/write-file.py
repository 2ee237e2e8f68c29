# expect: threw OSError | threw PermissionError | threw FileNotFoundError
open('/x','w')
