# expect: value ["hello",true]
# More connections than are served at once, each with a head that never ends: what comes behind them
# is served when enough of them are ended.
import socket, urllib.request
slow = []
for _ in range(20):
    one = socket.create_connection(('127.0.0.1', 3128))
    one.sendall(b'GET http://LISTED/ HTTP/1.1\r\nX: ')
    slow.append(one)
def ended(one):
    try:
        return one.recv(4096, socket.MSG_DONTWAIT) is not None
    except BlockingIOError:
        return False
    except OSError:
        return True
said = urllib.request.urlopen('http://LISTED/').read().decode()
[said, sum(map(ended, slow)) > 20 - 16]
