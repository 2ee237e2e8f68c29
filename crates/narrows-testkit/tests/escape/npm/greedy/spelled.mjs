export const run = async () =>
  (await import(['NODE', 'crypto'].join(':'))).createECDH('prime256v1').generateKeys('hex')
