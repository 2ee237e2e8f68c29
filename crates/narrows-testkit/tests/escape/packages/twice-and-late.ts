// expect: value [2,true,"Unlikely"]
const name = ['day', 'js'].join('')
const { default: dayjs } = await import(name)
import { capitalize } from 'lodash-es'
const again = await import('dayjs')
return [dayjs('2024-01-02').date(), again.default === dayjs, capitalize('unlikely')]
