// expect: threw Error
import { write } from 'greedy/fs.mjs'
return write()
