# expect: threw PermissionError | threw OSError
import os
os.chmod('/usr/lib',0o777)
