# expect: value
import json
import math
import re
import asyncio
from datetime import datetime, date
print('a', {'b': 1})
big = sorted([(i * 7919) % 100_003 for i in range(100_000)])
text = json.dumps({'big': big, 's': 'ü€😀' * 1000})
back = json.loads(text)
found = await asyncio.gather(*[host.echo(n=i) for i in range(3)])
[len(big), len(text), back['big'][5], len(found), math.sqrt(2), re.findall('[a-z]+', 'a b c'), 2 ** 200]
