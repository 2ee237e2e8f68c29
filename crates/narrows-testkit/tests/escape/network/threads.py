# expect: value ["hello","hello","hello","hello","hello","hello","hello","hello"]
import urllib.request
from concurrent.futures import ThreadPoolExecutor
def get(_):
    return urllib.request.urlopen('http://LISTED/').read().decode()
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(get, range(8)))
found
