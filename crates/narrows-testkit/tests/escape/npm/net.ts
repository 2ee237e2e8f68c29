// expect: threw Error
import { dial } from 'greedy/net.cjs'
return dial()
