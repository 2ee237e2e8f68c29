// What the engine itself goes on with after this.
module.constructor._load = () => { throw new Error('mine') }
Math.random = () => 0.5
globalThis.Date = class { static now() { return 7 } }
Array.prototype.map = () => ['forged']
Promise.prototype.then = function () { return this }
JSON.stringify = () => '"forged"'
