# expect: value [200,1,1]
# A request in the body of another: to the proxy and to the host it is one request.
import socket
def answers(text):
    with socket.create_connection(('127.0.0.1', 3128), timeout=20) as proxy:
        proxy.sendall(text.encode())
        got = b''
        while part := proxy.recv(4096):
            got += part
    return got
inner = 'GET http://UNLISTED/ HTTP/1.1\r\nHost: UNLISTED\r\n\r\n'
both = ('POST http://LISTED/ HTTP/1.1\r\nHost: LISTED\r\nContent-Length: 4\r\n'
        'Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n' + inner)
one = (f'POST http://LISTED/ HTTP/1.1\r\nHost: LISTED\r\nContent-Length: {len(inner)}\r\n'
       'Connection: close\r\n\r\n' + inner)
first = answers(both)
[int(first.split()[1]), first.count(b'HTTP/1.1 '), answers(one).count(b'HTTP/1.1 ')]
