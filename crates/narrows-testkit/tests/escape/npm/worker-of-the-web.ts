// expect: threw TypeError
import { web } from 'greedy/worker.mjs'
return web()
