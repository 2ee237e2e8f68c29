# expect: limit files
i = 0
while True:
    i += 1
    try:
        scratch.write(f"a/{i}/b", "")
    except Exception:
        pass
