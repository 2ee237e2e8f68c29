// expect: threw Error
const fs = await import(['node', 'fs'].join(':'))
return fs.readFileSync('/etc/passwd', 'utf8')
