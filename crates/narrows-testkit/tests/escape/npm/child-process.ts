// expect: threw Error
import { run } from 'greedy/child.mjs'
return run()
