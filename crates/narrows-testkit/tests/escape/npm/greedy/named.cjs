exports.required = () => [require('sqlite').own, require('test').own]
exports.prefixed = () => {
  try { new (require('node:sqlite').DatabaseSync)(':memory:') } catch (error) { return error.message.includes('is not available') }
}
