// expect: threw Error
import { run } from 'greedy/spelled.mjs'
return run()
