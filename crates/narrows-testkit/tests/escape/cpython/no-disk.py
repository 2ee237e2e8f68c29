# expect: limit disk_bytes | limit files
# limits: disk_bytes=0 files=0
open('a', 'w').write('x')
