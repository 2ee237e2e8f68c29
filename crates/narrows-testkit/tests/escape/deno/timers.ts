// expect: value 5000
const begun = Date.now()
await new Promise((done) => setTimeout(done, 5000))
return Date.now() - begun
