// expect: value [true,["1.0.0","1.2.3"],3]
import semver, { satisfies } from 'semver'
const { default: major } = await import('semver/functions/major.js')
return [satisfies('1.2.3', '^1.0.0'), semver.sort(['1.2.3', '1.0.0']), major('3.1.4')]
