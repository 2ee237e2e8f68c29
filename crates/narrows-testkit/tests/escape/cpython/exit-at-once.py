# expect: lost: the worker ended without an answer
import os
os._exit(0)
