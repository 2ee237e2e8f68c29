// expect: limit memory_bytes
// limits: memory_bytes=67108864
import 'greedy/bomb.mjs'
return 'not stopped'
