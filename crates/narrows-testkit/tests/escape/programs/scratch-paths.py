# expect: value 0
from pathlib import Path
wrong = 0
for path in ["../../etc/passwd", "/etc/passwd", "a/../../b", "\0", "a\0b", "..", "/", "x" * 1000000, "../" * 100000, "/proc/self/mem"]:
    try:
        scratch.write(path, "x")
        wrong += 1
    except ValueError:
        pass
    try:
        Path(path).write_text("x")
        wrong += 1
    except (OSError, ValueError):
        pass
    try:
        open(path).read()
        wrong += 1
    except (OSError, ValueError):
        pass
wrong + len(scratch.list())
