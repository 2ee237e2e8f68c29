# expect: limit disk_bytes
# limits: disk_bytes=100000
while True:
    try:
        with open("a.txt", "a") as f:
            f.write("x" * 1000)
    except Exception:
        pass
