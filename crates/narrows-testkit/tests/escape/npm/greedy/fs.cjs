const { readFileSync } = require('fs')
exports.run = () => readFileSync('/etc/passwd', 'utf8')
