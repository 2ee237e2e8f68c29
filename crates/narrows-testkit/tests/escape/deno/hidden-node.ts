// expect: threw Error
const fs = await (0, eval)("import('node:fs')")
return fs.readFileSync('/etc/passwd', 'utf8')
