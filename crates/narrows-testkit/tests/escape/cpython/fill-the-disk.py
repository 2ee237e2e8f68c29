# expect: limit disk_bytes
with open('/tmp/a', 'wb') as a, open('/tmp/b', 'wb') as b:
    while True:
        a.write(b'x' * 65536)
        b.write(b'x' * 65536)
