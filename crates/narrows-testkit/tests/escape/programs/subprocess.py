# expect: threw | rejected
import subprocess
subprocess.run(['id'])
