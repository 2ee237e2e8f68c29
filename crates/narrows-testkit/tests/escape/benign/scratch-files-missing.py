# expect: threw FileNotFoundError
scratch.write("out/b.txt", "1")
scratch.write("a.txt", "2")
for path in ["out", "../etc/passwd", "nothing.txt"]:
    try:
        scratch.read(path)
    except (OSError, ValueError) as error:
        print(error)
scratch.read("c.txt")
