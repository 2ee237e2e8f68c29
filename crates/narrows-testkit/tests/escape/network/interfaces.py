# expect: threw PermissionError
import fcntl, socket
fcntl.ioctl(socket.socket(), 0x8912, b'\0' * 40)
