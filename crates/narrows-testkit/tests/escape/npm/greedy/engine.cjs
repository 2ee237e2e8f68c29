exports.flags = () => require('v8').setFlagsFromString('--allow-natives-syntax')
exports.vm = () => require('vm').runInNewContext('Date.now()')
exports.inspector = () => new (require('inspector').Session)()
exports.wasi = () => new (require('wasi').WASI)({ version: 'preview1' })
