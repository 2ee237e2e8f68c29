// expect: threw NotCapable | threw Error
import { forged } from 'greedy/dlopen.cjs'
return await forged()
