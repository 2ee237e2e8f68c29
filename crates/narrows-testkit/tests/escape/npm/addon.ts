// expect: value [true,true]
import { required } from 'greedy/dlopen.cjs'
try { required() } catch (error) { return [error.message.includes('compiled for a machine'), error.code === 'ERR_ACCESS_DENIED'] }
