// expect: rejected
import fs from 'node:fs'
return fs.readFileSync('/etc/passwd', 'utf8')
