// expect: value ["1/1/1970","1/1/1970",true,true,true,true,true,true,true,true]
const soon = (ms: number) => ms >= 0 && ms < 60000
const format = new Intl.DateTimeFormat('en', { timeZone: 'UTC' })
const now = Temporal.Now
return [
  format.format(),
  format.formatToParts().map((part) => part.value).join(''),
  soon(now.instant().epochMilliseconds),
  soon(now.zonedDateTimeISO('UTC').epochMilliseconds),
  now.plainDateISO('UTC').toString() === '1970-01-01' && now.plainDateTimeISO('UTC').toString().startsWith('1970-01-01T00:00'),
  now.plainTimeISO('UTC').toString().startsWith('00:00:0'),
  soon(new Event('x').timeStamp),
  soon(new File([], 'x').lastModified),
  soon(new PerformanceMark('x').startTime),
  now.timeZoneId() === 'UTC',
]
