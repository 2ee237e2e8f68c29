// expect: value
const d = new Date(2024, 5, 15, 12)
return [d.toString(), d.toLocaleString(), d.getTimezoneOffset(), new Date().toISOString(), Date.parse('2024-06-15T12:00:00'), String(new Date('June 15, 2024 12:00'))]
