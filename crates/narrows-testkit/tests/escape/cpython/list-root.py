# expect: threw PermissionError
import os
[os.listdir('/'), os.listdir('/usr'), os.getuid(), os.getpid(), os.getppid()]
