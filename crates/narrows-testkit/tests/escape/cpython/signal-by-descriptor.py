# expect: threw PermissionError
import fcntl, os, signal
for pid in range(2, os.getpid()):
    fcntl.fcntl(3, 8, pid)
    fcntl.fcntl(3, 10, signal.SIGKILL)
    fcntl.fcntl(3, fcntl.F_SETFL, fcntl.fcntl(3, fcntl.F_GETFL) | os.O_ASYNC)
    host.echo()
'not stopped'
