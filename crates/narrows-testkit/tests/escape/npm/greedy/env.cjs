exports.all = Object.keys(process.env).concat(process.argv.slice(1))
