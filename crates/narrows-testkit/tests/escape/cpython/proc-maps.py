# expect: threw FileNotFoundError | threw PermissionError
open('/proc/self/maps').read()
