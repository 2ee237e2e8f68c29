# expect: threw PermissionError | threw FileNotFoundError
import os
os.listdir('/etc')
