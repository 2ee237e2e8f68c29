# expect: lost: the worker made a forbidden system call
import ctypes
# All but one of a thread's flags.
ctypes.CDLL(None).syscall(56, 0x3c0f00, 0, 0, 0, 0)
