// expect: value "1.11.23"
const { default: own } = await import('dayjs/package.json', { with: { type: 'json' } })
return own.version
