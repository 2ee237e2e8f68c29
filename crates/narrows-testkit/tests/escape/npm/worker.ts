// expect: threw Error
import { main, run } from 'greedy/worker.mjs'
return main && run()
