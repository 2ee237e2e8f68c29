// expect: threw TypeError | threw Error
import 'greedy/lacking.mjs'
return 'not stopped'
