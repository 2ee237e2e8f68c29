// expect: rejected | threw
import fs from 'node:fs'
return fs.readFileSync('/etc/passwd')
