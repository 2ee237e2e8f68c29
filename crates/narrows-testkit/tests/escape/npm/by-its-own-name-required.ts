// expect: threw Error
import { run } from 'greedy/inner.cjs'
return run()
