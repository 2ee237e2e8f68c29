# expect: threw PermissionError
import subprocess
subprocess.run(['/bin/sh','-c','id'])
