# expect: value [0,1,2,3,4,5,6,7]
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda n: host.echo(n=n)['n'], range(8)))
found
