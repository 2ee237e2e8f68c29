// expect: limit wall_ms
// limits: wall_ms=2000
import 'greedy/never.mjs'
return 'not stopped'
