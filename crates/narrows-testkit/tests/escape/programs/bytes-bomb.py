# expect: limit memory_bytes
b'a' * 10**10
