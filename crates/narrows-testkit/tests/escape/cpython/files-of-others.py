# expect: value []
import os
os.listdir('/tmp')
