// expect: rejected | threw
return process.env
