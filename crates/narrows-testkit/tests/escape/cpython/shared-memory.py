# expect: threw PermissionError
import mmap
shared = mmap.mmap(-1, 400 << 20)
for at in range(0, len(shared), 4096): shared[at] = 1
'not stopped'
