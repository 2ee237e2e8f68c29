# expect: threw PermissionError | threw OSError
import os
os.symlink('/','/x')
