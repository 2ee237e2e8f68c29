# expect: value 1
# limits: log_bytes=1000
for i in range(10000):
    print('x' * 100)
1
