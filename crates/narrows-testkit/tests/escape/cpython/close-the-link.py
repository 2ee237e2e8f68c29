# expect: lost: the interpreter ended without an answer | lost: the worker's link broke | lost: the worker exited with code 67
import os
os.close(3)
1
