# expect: value [{"at":"2026-01-02T03:04:05Z","level":"INFO","code":200,"path":"/v1/run","ms":12},{"at":"2026-01-02T03:04:09Z","level":"ERROR","code":500,"path":"/v1/jobs","ms":1930}]
import re
text = """2026-01-02T03:04:05Z INFO api 200 /v1/run 12ms
2026-01-02T03:04:06Z WARN api 429 /v1/run 1ms
2026-01-02T03:04:09Z ERROR worker 500 /v1/jobs 1930ms
not a log line"""
line = re.compile(r"^(\S+) ([A-Z]+) (\w+) (\d{3}) (\S+) (\d+)ms$")
rows = []
for row in text.splitlines():
    found = line.match(row)
    if found is None:
        print("bad:", row)
        continue
    at, level, service, code, path, ms = found.groups()
    rows.append({"at": at, "level": level, "code": int(code), "path": path, "ms": int(ms)})
[r for r in rows if r["ms"] > 5]
