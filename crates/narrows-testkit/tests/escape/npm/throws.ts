// expect: threw RangeError
import 'greedy/throws.mjs'
return 'not stopped'
