// expect: threw Error
import 'greedy/exit.cjs'
return 'not stopped'
