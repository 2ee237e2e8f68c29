// expect: value {"today":"2026-01-01","due":["2026-01-04","2025-12-30","2026-02-10"],"late":1,"weekday":"Thu","leap":"2024-02-29T12:00:00.000Z","invalid":true}
const now = new Date();
const day = 24 * 60 * 60 * 1000;
const due = [3, -2, 40].map((days) => new Date(now.getTime() + days * day));
return {
  today: now.toISOString().slice(0, 10),
  due: due.map((d) => d.toISOString().slice(0, 10)),
  late: due.filter((d) => d < now).length,
  weekday: ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][now.getUTCDay()],
  leap: new Date(Date.UTC(2024, 1, 29, 12)).toJSON(),
  invalid: Number.isNaN(Date.parse("no date")),
};
