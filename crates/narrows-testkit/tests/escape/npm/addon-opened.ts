// expect: value [true,true]
import { opened } from 'greedy/dlopen.cjs'
try { opened() } catch (error) { return [error.message.includes('compiled for a machine'), error.code === 'ERR_ACCESS_DENIED'] }
