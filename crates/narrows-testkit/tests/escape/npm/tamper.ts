// expect: lost: the worker's link broke
import 'greedy/tamper.cjs'
return { as: 'it is' }
