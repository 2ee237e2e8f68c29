# expect: limit memory_bytes
x='a'*(1<<31)
