# expect: threw PermissionError
import os
os.execv('/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',['x'])
