// expect: value [[12,{"at":"2026-01-02T03:04:05Z","level":"INFO","service":"api","code":"200","path":"/v1/run"}],[1930,{"at":"2026-01-02T03:04:09Z","level":"ERROR","service":"worker","code":"500","path":"/v1/jobs"}]]
const text = `2026-01-02T03:04:05Z INFO api 200 /v1/run 12ms
2026-01-02T03:04:06Z WARN api 429 /v1/run 1ms
2026-01-02T03:04:09Z ERROR worker 500 /v1/jobs 1930ms
not a log line`;
const line = /^(?<at>\S+) (?<level>[A-Z]+) (?<service>\w+) (?<code>\d{3}) (?<path>\S+) (?<ms>\d+)ms$/;
const rows = text.split("\n").flatMap((row) => {
  const found = line.exec(row);
  return found?.groups ? [{ ...found.groups, ms: Number(found.groups.ms) }] : [];
});
console.error(`${text.split("\n").length - rows.length} bad`);
return rows.filter((row) => row.ms > 5).map(({ ms, ...rest }) => [ms, rest]);
