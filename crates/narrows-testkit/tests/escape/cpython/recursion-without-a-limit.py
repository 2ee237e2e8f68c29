# expect: lost: the worker crashed (signal 11) | limit memory_bytes | limit cpu_ms | limit stack
# limits: cpu_ms=1000
import sys
sys.setrecursionlimit(10**9)
def f(): return f()
f()
