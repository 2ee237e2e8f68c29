# expect: threw PermissionError | threw OSError | threw FileNotFoundError
import os
os.symlink('/usr/lib', '/tmp/l')
open('/tmp/l/x', 'w')
