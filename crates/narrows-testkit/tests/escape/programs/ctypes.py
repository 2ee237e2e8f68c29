# expect: threw | rejected
import ctypes
ctypes.CDLL(None)
