// expect: threw | rejected | value 1 | value "undefined"
return (() => {}).constructor('return typeof process')()
