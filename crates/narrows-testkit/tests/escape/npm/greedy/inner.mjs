import { createECDH } from '#keys'
export const run = () => createECDH('prime256v1').generateKeys('hex')
