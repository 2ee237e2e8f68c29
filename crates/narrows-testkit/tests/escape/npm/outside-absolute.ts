// expect: threw NotCapable | threw TypeError | threw Error
import { absolute } from 'greedy/outside.cjs'
return await absolute()
