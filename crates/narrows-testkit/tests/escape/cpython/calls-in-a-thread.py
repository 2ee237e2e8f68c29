# expect: limit calls
# limits: calls=3
import threading
def many():
    for n in range(10):
        host.echo(n=n)
t = threading.Thread(target=many)
t.start()
t.join()
