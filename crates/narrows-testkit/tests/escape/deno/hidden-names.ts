// expect: value "undefined undefined undefined"
const names = (0, eval)('[typeof Deno, typeof process, typeof Worker]')
return names.join(' ')
