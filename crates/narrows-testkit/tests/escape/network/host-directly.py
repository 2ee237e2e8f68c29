# expect: value true
import socket
reached = []
for address in ['1.1.1.1', '10.0.0.1', '192.0.2.1', '169.254.169.254', '127.0.0.2', '0.0.0.0']:
    for port in (53, 80, 443, 3128, PORT):
        try:
            with socket.create_connection((address, port), timeout=5):
                reached.append((address, port))
        except OSError:
            pass
# The proxy itself answers at every address of this machine's, and nothing else does.
all(port == 3128 and address in ('127.0.0.2', '0.0.0.0') for address, port in reached)
