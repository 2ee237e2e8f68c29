// expect: limit cpu_ms
// limits: cpu_ms=500
import 'greedy/spin.mjs'
return 'not stopped'
