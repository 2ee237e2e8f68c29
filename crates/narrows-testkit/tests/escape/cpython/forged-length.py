# expect: lost: the worker's link broke
import os,struct
os.write(3,struct.pack('<IB',2**31,66))
1
