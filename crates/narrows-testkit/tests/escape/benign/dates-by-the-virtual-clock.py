# expect: value {"today":"2026-01-01","due":["2026-01-04","2025-12-30","2026-02-10"],"late":1,"weekday":3,"leap":"2024-02-29T12:00:00","span":366}
from datetime import datetime, timedelta, timezone
now = datetime.now(timezone.utc)
due = [now + timedelta(days=d) for d in (3, -2, 40)]
return {
    "today": now.date().isoformat(),
    "due": [d.strftime("%Y-%m-%d") for d in due],
    "late": len([d for d in due if d < now]),
    "weekday": now.weekday(),
    "leap": datetime(2024, 2, 29, 12).isoformat(),
    "span": (datetime(2024, 3, 1) - datetime(2023, 3, 1)).days,
}
