# expect: lost: the worker made a forbidden system call
import ctypes
ctypes.CDLL(None).ptrace(0,0,0,0)
