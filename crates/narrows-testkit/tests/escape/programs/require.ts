// expect: rejected | threw
return require('child_process').execSync('id')
