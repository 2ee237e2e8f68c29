//! Moments and spans for people.

use time::OffsetDateTime;
use time::macros::format_description;

/// Unix milliseconds as a moment in UTC.
pub(super) fn moment(unix_ms: u64) -> String {
    let nanos = i128::from(unix_ms) * 1_000_000;
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    moment.and_then(|m| m.format(form).ok()).unwrap_or_else(|| "-".to_owned())
}

/// Microseconds as a span.
pub(super) fn span(us: u64) -> String {
    let ms = us / 1_000;
    match ms {
        0..=999 => format!("{ms} ms"),
        1_000..=59_999 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{moment, span};

    #[test]
    fn moments_and_spans_read_well() {
        assert_eq!(moment(0), "1970-01-01 00:00:00");
        assert_eq!(moment(1_795_276_800_123), "2026-11-21 16:00:00");
        assert_eq!(moment(u64::MAX), "-");
        assert_eq!(
            [999, 45_000, 1_560_000, 75_000_000].map(span),
            ["0 ms", "45 ms", "1.5 s", "1 min 15 s"]
        );
    }
}
