// expect: value ["","linux","/",true,"object"]
import 'semver'
const { env, platform } = await import('node:process')
const all = globalThis as any
return [Object.keys(env).join(), platform, all.process.cwd(), all.Buffer.isBuffer(all.Buffer.from('')), typeof all.global]
