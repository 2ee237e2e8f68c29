// expect: threw NotCapable | threw TypeError | threw Error
import { linked } from 'greedy/outside.cjs'
return await linked()
