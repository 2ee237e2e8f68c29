// expect: value [true,true,"018bcfe5-6800-7",36]
import { v4, v7, validate } from 'uuid'
const [one, other] = [v4(), v4()]
return [validate(one), one !== other, v7({ msecs: 1700000000000 }).slice(0, 15), v7().length]
