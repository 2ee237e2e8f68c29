# expect: limit cpu_ms | limit memory_bytes
# limits: cpu_ms=300
import re
while True:
    re.match('(a+)+$', 'a' * 40 + 'b')
