# expect: limit disk_bytes
with open('a', 'wb') as f:
    while True:
        f.write(b'x' * 65536)
