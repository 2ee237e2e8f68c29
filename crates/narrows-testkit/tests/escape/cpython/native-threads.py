# expect: value true
import ctypes
libc = ctypes.CDLL(None)
started = 0
for _ in range(100):
    thread = ctypes.c_ulong()
    if libc.pthread_create(ctypes.byref(thread), None, libc.sleep, ctypes.c_void_p(100)) == 0:
        started += 1
started < 16
