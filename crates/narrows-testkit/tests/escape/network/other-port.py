# expect: threw PermissionError | threw ConnectionRefusedError
# The listed server itself, by its own port: it is in another network.
import socket
socket.create_connection(('127.0.0.1', PORT))
