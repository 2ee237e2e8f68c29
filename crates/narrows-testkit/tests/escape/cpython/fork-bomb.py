# expect: threw PermissionError
import os
while True: os.fork()
