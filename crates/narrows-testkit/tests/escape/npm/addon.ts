// expect: threw Error
import { required } from 'greedy/dlopen.cjs'
return required()
