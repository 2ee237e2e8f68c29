# expect: threw | rejected
import os
os.system('id')
