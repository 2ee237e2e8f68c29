// expect: rejected
import { run } from 'greedier'
return run()
