# expect: value ["hello",16]
# Each asks for what takes a second: the server knows how many asked at once.
import socket, urllib.request
open_ones = []
try:
    for _ in range(1000):
        one = socket.create_connection(('127.0.0.1', 3128))
        open_ones.append(one)
        one.sendall(b'GET http://LISTED/slow HTTP/1.1\r\nHost: LISTED\r\nConnection: close\r\n\r\n')
except OSError:
    pass
for one in open_ones:
    while one.recv(4096):
        pass
    one.close()
for _ in range(1000):
    socket.create_connection(('127.0.0.1', 3128)).close()
def get(path):
    return urllib.request.urlopen('http://LISTED' + path).read().decode()
[get('/'), int(get('/most'))]
