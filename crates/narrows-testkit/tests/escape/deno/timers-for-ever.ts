// expect: value 1
const again = () => setTimeout(again, 1)
again()
return 1
