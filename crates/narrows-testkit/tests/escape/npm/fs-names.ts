// expect: value ["function","number"]
import { names } from 'greedy/fs.mjs'
return names()
