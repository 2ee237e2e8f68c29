// expect: threw Error
import { later } from 'greedy/fs.mjs'
return await later()
