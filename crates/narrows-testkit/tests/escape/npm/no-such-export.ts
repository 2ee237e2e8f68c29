// expect: threw SyntaxError
import { nothing } from 'greedy/env.cjs'
return nothing
