# expect: threw PermissionError
import mmap
stack = mmap.mmap(-1, 400 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100)
for at in range(len(stack) - 4096, 0, -4096): stack[at] = 1
'not stopped'
