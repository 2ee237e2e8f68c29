# expect: threw gaierror
import socket
socket.getaddrinfo('example.com', 80)
