# expect: value
n = 0
for i in range(200):
    a = [i] * 100_000
    n += a[5]
n
