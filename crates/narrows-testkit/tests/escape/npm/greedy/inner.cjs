exports.run = () => require('#keys').createECDH('prime256v1').generateKeys('hex')
