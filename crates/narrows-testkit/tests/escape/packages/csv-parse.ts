// expect: value [[{"a":"1","b":"2"}],[{"a":"3","b":"4"}]]
import { parse as now } from 'csv-parse/sync'
import { parse } from 'csv-parse'
const later = await new Promise((ok, no) =>
  parse('a,b\n3,4', { columns: true }, (error: unknown, rows: unknown) => error ? no(error) : ok(rows)))
return [now('a,b\n1,2', { columns: true }), later]
