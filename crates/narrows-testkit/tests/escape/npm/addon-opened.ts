// expect: threw Error
import { opened } from 'greedy/dlopen.cjs'
return opened()
