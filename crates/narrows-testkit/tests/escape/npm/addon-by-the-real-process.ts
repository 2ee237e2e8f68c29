// expect: value true
import { forged } from 'greedy/dlopen.cjs'
try { await forged() } catch (error) { return /compiled for a machine|Requires ffi access/.test(error.message) }
