# expect: threw PermissionError
import socket
socket.socket()
