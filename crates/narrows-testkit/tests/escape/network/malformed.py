# expect: value [400,400,400,400,400,400,0,431]
import socket
def status(text):
    with socket.create_connection(('127.0.0.1', 3128), timeout=20) as proxy:
        proxy.sendall(text.encode())
        try:
            answer = proxy.recv(4096)
        except OSError:
            answer = b''
    return int(answer.split()[1]) if answer.startswith(b'HTTP/1.1 ') else 0
end = ' HTTP/1.1\r\nHost: LISTED\r\n\r\n'
[
    status('GET /' + end),
    status('GET https://LISTED/' + end),
    status('GET ftp://LISTED/' + end),
    status('GET http://root@LISTED/' + end),
    status('CONNECT 127.0.0.1' + end),
    status('\0\1\2 nonsense\r\n\r\n'),
    status(''.join(['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'])),
    status('GET http://LISTED/ HTTP/1.1\r\n' + 'X: y\r\n' * 200 + '\r\n'),
]
