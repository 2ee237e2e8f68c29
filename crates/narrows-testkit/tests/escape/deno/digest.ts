// expect: value 112
const hash = await crypto.subtle.digest('SHA-256', new Uint8Array(3))
new Uint8Array(hash)[0]
