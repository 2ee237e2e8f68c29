// expect: threw Error
import { wire } from 'greedy/net.cjs'
return wire()
