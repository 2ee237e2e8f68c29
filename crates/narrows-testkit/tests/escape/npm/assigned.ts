// expect: rejected | threw
import { all } from 'greedy/env.cjs'
all = []
return all
