# expect: lost: the worker made a forbidden system call
import ctypes
ctypes.CDLL(None).mount(b'none',b'/',b'tmpfs',0,None)
