// expect: threw NotCapable | threw Error
import { fs } from 'greedy/forged.mjs'
return (await fs()).writeFileSync('/tmp/narrows-greedy', 'x')
