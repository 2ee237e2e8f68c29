# expect: value [true,4]
import fcntl, os
flags = fcntl.fcntl(3, fcntl.F_GETFL)
fcntl.fcntl(3, fcntl.F_SETFL, flags)
fcntl.fcntl(3, fcntl.F_SETFD, fcntl.fcntl(3, fcntl.F_GETFD))
[flags & os.O_ACCMODE == os.O_RDWR, os.dup(3)]
