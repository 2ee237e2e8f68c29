# expect: value | threw | limit stack | limit value_bytes
x = []
for _ in range(100_000):
    x = [x]
x
