// expect: threw Error
import { run } from 'greedy/fs.cjs'
return run()
