# expect: limit wall_ms
# limits: wall_ms=1500
import socket
proxy = socket.create_connection(('127.0.0.1', 3128))
proxy.sendall(b'CONNECT LISTED HTTP/1.1\r\nHost: LISTED\r\n\r\n')
while True:
    proxy.recv(1)
