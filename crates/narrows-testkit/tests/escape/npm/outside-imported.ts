// expect: threw NotCapable | threw TypeError | threw Error
import { imported } from 'greedy/outside.cjs'
return await imported()
