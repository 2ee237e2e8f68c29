exports.required = () => require('./addon.node')
exports.opened = () => process.dlopen({ exports: {} }, require.resolve('./addon.node'))
exports.forged = async () => {
  const { default: real } = await import("data:text/javascript,/*node*/import p from 'node:process';export default p")
  return real.dlopen({ exports: {} }, require.resolve('./addon.node'))
}
