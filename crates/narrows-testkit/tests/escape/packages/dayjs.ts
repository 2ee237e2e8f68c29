// expect: value ["2025-02-28","1970-01-01T00:00:00+00:00","2h"]
import dayjs from 'npm:dayjs@1.11'
import duration from 'dayjs/plugin/duration.js'
dayjs.extend(duration)
const now = dayjs().format()
return [dayjs('2024-02-29').add(1, 'year').format('YYYY-MM-DD'), now, dayjs.duration(7200e3).format('H[h]')]
