# expect: value ["hello",true]
import socket, urllib.request
open_ones = []
try:
    for _ in range(1000):
        open_ones.append(socket.create_connection(('127.0.0.1', 3128)))
except OSError:
    pass
most = len(open_ones)
for one in open_ones:
    one.close()
for _ in range(1000):
    socket.create_connection(('127.0.0.1', 3128)).close()
[urllib.request.urlopen('http://LISTED/').read().decode(), most < 64]
