# expect: limit value_bytes
# limits: value_bytes=10000
while True:
    show('x' * 1_000)
