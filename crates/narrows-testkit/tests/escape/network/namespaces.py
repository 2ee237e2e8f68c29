# expect: lost: the worker made a forbidden system call
import ctypes
ctypes.CDLL(None).unshare(0x40000000)
