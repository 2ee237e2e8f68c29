// expect: rejected
const = 1
