# expect: value [15,[0,1,4,9]]
import threading
from concurrent.futures import ThreadPoolExecutor
seen = []
gate = threading.Event()
def wait():
    gate.wait()
    seen.append(1)
threads = [threading.Thread(target=wait) for _ in range(15)]
for t in threads: t.start()
gate.set()
for t in threads: t.join()
with ThreadPoolExecutor(4) as pool:
    squares = list(pool.map(lambda n: n * n, range(4)))
[len(seen), squares]
