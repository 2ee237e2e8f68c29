# expect: value [13,13,13,13,13,13,13,13]
import socket
def errno(*kind):
    try:
        socket.socket(*kind).close()
        return 0
    except OSError as error:
        return error.errno
[
    errno(socket.AF_INET, socket.SOCK_DGRAM),
    errno(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    errno(socket.AF_INET, socket.SOCK_STREAM, 262),
    errno(socket.AF_INET6, socket.SOCK_STREAM),
    errno(socket.AF_UNIX, socket.SOCK_STREAM),
    errno(socket.AF_NETLINK, socket.SOCK_RAW),
    errno(socket.AF_PACKET, socket.SOCK_RAW),
    errno(40, socket.SOCK_STREAM),
]
