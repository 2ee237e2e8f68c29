# expect: lost: the worker crashed (signal 11) | lost: the worker crashed (signal 6)
import os
os.abort()
