// expect: rejected
import x from 'https://127.0.0.1/x.js'
return x
