# expect: lost: the worker made a forbidden system call
import ctypes
ctypes.CDLL(None).syscall(425,1,0)
