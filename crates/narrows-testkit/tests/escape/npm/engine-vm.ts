// expect: threw Error
import { vm } from 'greedy/engine.cjs'
return vm()
