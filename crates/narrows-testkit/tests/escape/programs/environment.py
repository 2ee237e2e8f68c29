# expect: value {} | threw | rejected
import os
dict(os.environ)
