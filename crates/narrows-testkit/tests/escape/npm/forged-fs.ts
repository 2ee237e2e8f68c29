// expect: threw NotCapable | threw Error
import { fs } from 'greedy/forged.mjs'
return (await fs()).readFileSync('/etc/passwd', 'utf8')
