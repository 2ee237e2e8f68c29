// expect: value [{"n":1},["n"]]
import * as z from 'zod'
const Row = z.object({ n: z.number() })
const bad = Row.safeParse({ n: 'x' })
return [Row.parse({ n: 1 }), bad.error!.issues[0].path]
