# expect: limit files
# limits: files=5
import os
for name in range(20):
    os.mkdir(f'{name}')
sum(range(10))
