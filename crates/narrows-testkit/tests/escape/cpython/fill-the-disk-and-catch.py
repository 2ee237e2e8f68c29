# expect: limit disk_bytes
# limits: disk_bytes=100000
for name in range(50):
    try:
        with open(f'{name}', 'wb') as f:
            f.write(b'x' * 65536)
    except OSError:
        pass
'full'
