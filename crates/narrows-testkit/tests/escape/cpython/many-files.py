# expect: limit files
for name in range(1000):
    open(f'{name}', 'w').close()
