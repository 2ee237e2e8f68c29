# expect: threw OSError | threw PermissionError
open('/usr/lib/x','w')
