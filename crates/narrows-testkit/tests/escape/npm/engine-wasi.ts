// expect: threw Error
import { wasi } from 'greedy/engine.cjs'
return wasi()
