// expect: value []
import { run } from 'greedy/sneak.cjs'
return run()
