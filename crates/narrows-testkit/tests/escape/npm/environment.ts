// expect: value []
import { all } from 'greedy/env.cjs'
return all
