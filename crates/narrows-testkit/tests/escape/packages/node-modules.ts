// expect: value ["c.txt","a=1","a-b","ba7816bf","hello",true,"aGk=","x 1"]
import path from 'node:path'
import { parse, stringify } from 'querystring'
import { EventEmitter, once } from 'node:events'
import { createHash } from 'node:crypto'
import zlib from 'node:zlib'
import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { format, isDeepStrictEqual } from 'node:util'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
assert.throws(() => assert.equal(1, 2), { code: 'ERR_ASSERTION' })
const emitter = new EventEmitter()
const heard = once(emitter, 'said')
emitter.emit('said', 'b')
let joined = 'a'
await pipeline(Readable.from(['-', (await heard)[0]]), async (parts) => { for await (const part of parts) joined += part })
return [path.basename('/a/b/c.txt'), stringify(parse('a=1')), joined,
  createHash('sha256').update('abc').digest('hex').slice(0, 8), zlib.gunzipSync(zlib.gzipSync('hello')).toString(),
  isDeepStrictEqual({ a: [1] }, { a: [1] }), Buffer.from('hi').toString('base64'), format('%s %d', 'x', 1)]
