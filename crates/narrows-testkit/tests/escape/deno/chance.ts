// expect: value "145,190,248,113 113,195,224,133"
const roll = () => Crypto.prototype.getRandomValues.call(crypto, new Uint8Array(4)).join()
return [1, 2].map(roll).join(' ')
