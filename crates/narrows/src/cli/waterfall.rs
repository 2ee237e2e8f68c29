//! Calls drawn to scale: one line each, by its start.

use super::output::{Output, Tone, safe};
use narrows_types::fault::clip;
use narrows_types::{CallRecord, CallView};

/// Characters of the longest bar.
const BAR_WIDTH: u64 = 40;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 48;

/// One call.
pub(super) struct Bar {
    name: String,
    start_us: u64,
    /// None while it has no outcome.
    took_us: Option<u64>,
    bytes: u64,
    ok: Option<bool>,
}

impl From<&CallRecord> for Bar {
    fn from(call: &CallRecord) -> Self {
        Self {
            name: format!("{}.{}", call.server, call.tool),
            start_us: call.start_us,
            took_us: Some(call.took_us),
            bytes: call.received_bytes,
            ok: Some(call.ok),
        }
    }
}

impl From<&CallView> for Bar {
    fn from(call: &CallView) -> Self {
        let name = match call.server.as_str() {
            "narrows" => call.tool.clone(),
            server => format!("{server}.{}", call.tool),
        };
        Self {
            name: clip(safe(&name), NAME_BYTES_MAX),
            start_us: call.start_us,
            took_us: call.took_us,
            bytes: call.bytes,
            ok: call.ok,
        }
    }
}

/// The calls to scale from the first one's start.
pub(super) fn waterfall(bars: &[Bar], out: &Output) -> String {
    let first = bars.iter().map(|b| b.start_us).min().unwrap_or_default();
    let ends = bars.iter().map(|b| b.start_us + b.took_us.unwrap_or_default());
    let whole = ends.max().unwrap_or_default().saturating_sub(first).max(1);
    let cells = |us: u64| {
        let cells = u128::from(us) * u128::from(BAR_WIDTH) / u128::from(whole);
        usize::try_from(cells).unwrap_or_default()
    };
    let width = bars.iter().map(|b| b.name.chars().count()).max().unwrap_or_default();
    let line = |bar: &Bar| {
        let (lead, length) = (cells(bar.start_us - first), cells(bar.took_us.unwrap_or_default()));
        let (mark, tone, end) = match (bar.took_us, bar.ok) {
            (None, _) => ("?", Tone::Warn, "  no outcome"),
            (Some(_), Some(false)) => ("#", Tone::Bad, "  failed"),
            (Some(_), _) => ("#", Tone::Good, ""),
        };
        let length = length.max(1);
        let room = usize::try_from(BAR_WIDTH).unwrap_or_default() + 1;
        let rest = " ".repeat(room.saturating_sub(lead + length));
        let drawn = out.tint(&mark.repeat(length), tone);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
        let took =
            bar.took_us.map_or_else(|| "-".to_owned(), |us| format!("{:.2}", us as f64 / 1_000.0));
        let (name, lead) = (&bar.name, " ".repeat(lead));
        let end = if end.is_empty() { String::new() } else { out.tint(end, tone) };
        format!("  {name:width$} |{lead}{drawn}{rest}| {took:>7} ms {:>7} bytes{end}\n", bar.bytes)
    };
    bars.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{Bar, waterfall};
    use crate::cli::output::Output;
    use narrows_types::CallRecord;

    fn call(tool: &str, start_us: u64, took_us: u64, ok: bool) -> CallRecord {
        CallRecord {
            server: "files".to_owned(),
            tool: tool.to_owned(),
            start_us,
            took_us,
            sent_bytes: 2,
            received_bytes: 1_234,
            ok,
            cached: false,
        }
    }

    #[test]
    fn the_waterfall_is_to_scale() {
        let calls = [
            call("list", 500, 1_000, true),
            call("read", 1_500, 3_000, true),
            call("read", 1_500, 10, false),
        ];
        let mut bars: Vec<Bar> = calls.iter().map(Bar::from).collect();
        bars.push(Bar { took_us: None, ok: None, bytes: 0, ..Bar::from(&calls[2]) });
        insta::assert_snapshot!(waterfall(&bars, &Output::plain()));
        assert_eq!(waterfall(&[], &Output::plain()), "");
    }
}
