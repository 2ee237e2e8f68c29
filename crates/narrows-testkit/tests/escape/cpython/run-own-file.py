# expect: threw PermissionError | lost: the worker made a forbidden system call | threw OSError
import ctypes, shutil
shutil.copy(next(iter(__import__('glob').glob('/usr/lib/*/libz.so.1'))), '/tmp/l.so')
ctypes.CDLL('/tmp/l.so')
