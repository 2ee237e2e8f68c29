# expect: threw PermissionError
import os
os.memfd_create('x')
