// expect: threw NotCapable | threw TypeError | threw Error
import { relative } from 'greedy/outside.cjs'
return await relative()
