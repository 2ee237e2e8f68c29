# expect: value 32512 | value -1
import os
os.system('id')
