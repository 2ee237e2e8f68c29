const net = require('node:net')
class Wire extends net.Socket {}
exports.dial = () => net.connect(22, '127.0.0.1')
exports.wire = () => new Wire()
