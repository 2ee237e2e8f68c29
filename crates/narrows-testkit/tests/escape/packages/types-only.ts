// expect: value 3
import type { Dayjs } from 'dayjs'
import { type ZodType, z } from 'zod'
import { SomeTypeThatIsNotExported } from 'dayjs'
const held: SomeTypeThatIsNotExported | Dayjs | ZodType | undefined = undefined
return z.number().parse(3)
