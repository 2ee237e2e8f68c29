// expect: threw NotCapable | threw Error
import { child } from 'greedy/forged.mjs'
return (await child()).execSync('id').toString()
