// expect: value [5000,3000,true,0,true]
import { setTimeout as wait } from 'node:timers/promises'
import { setTimeout as later } from 'node:timers'
import process from 'node:process'
import { Buffer } from 'node:buffer'
import { performance } from 'node:perf_hooks'
import { randomBytes, randomInt, randomUUID, randomFillSync, webcrypto } from 'node:crypto'
const begun = performance.now()
await wait(5000)
const [one, since] = [Math.round(performance.now() - begun), process.hrtime()]
await new Promise((ok) => later(ok, 3000))
const two = Math.round(process.hrtime(since)[0] * 1000)
const drawn = [randomBytes(4).toString('hex'), randomInt(1000), randomUUID(), randomFillSync(Buffer.alloc(2)).toString('hex'),
  webcrypto.getRandomValues(new Uint8Array(2)).join()]
return [one, two, new Set(drawn).size === 5, new Date(0).getTimezoneOffset(), Date.now() >= 8000 && Date.now() < 8100]
