# expect: limit disk_bytes | value 0
import os
with open('a', 'wb') as f:
    os.ftruncate(f.fileno(), 1 << 40)
0
