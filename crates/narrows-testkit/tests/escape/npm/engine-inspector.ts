// expect: threw Error
import { inspector } from 'greedy/engine.cjs'
return inspector()
