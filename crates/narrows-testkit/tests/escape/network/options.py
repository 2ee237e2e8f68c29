# expect: value [13,13,13,13,0]
import socket
one, link = socket.socket(), socket.fromfd(3, socket.AF_UNIX, socket.SOCK_STREAM)
def errno(act):
    try:
        act()
        return 0
    except OSError as error:
        return error.errno
[
    errno(lambda: one.setsockopt(socket.SOL_SOCKET, 26, b'\0' * 16)),
    errno(lambda: one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)),
    errno(lambda: one.setsockopt(socket.IPPROTO_TCP, 31, b'tls')),
    errno(lambda: link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)),
    errno(lambda: one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)),
]
