// expect: threw Error
import { run } from 'greedy/inner.mjs'
return run()
