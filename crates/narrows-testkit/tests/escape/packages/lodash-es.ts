// expect: value {"odd":[1,3],"even":[2,4]}
import { groupBy } from 'lodash-es'
return groupBy([1, 2, 3, 4], (n: number) => n % 2 ? 'odd' : 'even')
