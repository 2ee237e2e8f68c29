# expect: limit cpu_ms
# limits: cpu_ms=300
import re
re.match('(a+)+$','a'*50+'b')
