# expect: value "hello"
# More connections than are served at once, each with a head that never ends.
import socket, urllib.request
slow = []
for _ in range(40):
    one = socket.create_connection(('127.0.0.1', 3128))
    one.sendall(b'GET http://LISTED/ HTTP/1.1\r\nX: ')
    slow.append(one)
urllib.request.urlopen('http://LISTED/').read().decode()
