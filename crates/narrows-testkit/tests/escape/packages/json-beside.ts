// expect: value "1.11.23"
import own from 'dayjs/package.json' with { type: 'json' }
return own.version
