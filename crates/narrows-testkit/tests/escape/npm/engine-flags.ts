// expect: threw Error
import { flags } from 'greedy/engine.cjs'
return flags()
