//! What was measured, as a table for people and as data for programs.

use serde::Serialize;
use std::fmt::Write as _;

/// Of one kind of worker; what does not apply to it is not there.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Milliseconds to the first answer where nothing is prepared.
    pub(crate) cold_ms: Option<Spread>,
    /// Milliseconds of a run in a worker that is launched for it.
    pub(crate) demand_ms: Option<Spread>,
    /// Milliseconds of a run in a fresh worker, after a pause.
    pub(crate) warm_ms: Option<Spread>,
    /// Milliseconds of a run in a fresh worker, one run after the other.
    pub(crate) sequence_ms: Option<Spread>,
    /// Microseconds from a reply to the next call.
    pub(crate) trip_us: Option<Spread>,
    /// KiB that one more idle worker takes for itself.
    pub(crate) idle_kib: Option<f64>,
    /// Runs a second, several at once.
    pub(crate) per_second: Option<f64>,
    /// Why there are no figures, or what to know of them.
    pub(crate) note: String,
}

/// Of many times.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) count: usize,
}

impl Spread {
    pub(crate) fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        (!times.is_empty()).then(|| Self {
            min: at(0.0),
            p50: at(0.5),
            p99: at(0.99),
            count: times.len(),
        })
    }
}

const HEAD: [&str; 8] = [
    "",
    "cold ms p50",
    "on demand ms p50",
    "warm ms min/p50/p99",
    "in a row ms min/p50/p99",
    "call us p50/p99",
    "idle KiB",
    "runs/s",
];

pub(crate) fn text(rows: &[Row]) -> String {
    let cells: Vec<[String; 8]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let widths: Vec<usize> =
        (0..8).map(|column| cells.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let notes = std::iter::once("").chain(rows.iter().map(|row| row.note.as_str()));
    let mut text = String::new();
    for (row, note) in cells.iter().zip(notes) {
        for (cell, width) in row.iter().zip(&widths) {
            write!(text, "{cell:width$} | ").unwrap();
        }
        writeln!(text, "{note}").unwrap();
    }
    text
}

/// One row by itself.
pub(crate) fn line(row: &Row) -> String {
    let cells = cells(row);
    let told = cells.iter().zip(HEAD).skip(1).filter(|(cell, _)| !cell.is_empty());
    let told: Vec<_> = told.map(|(cell, head)| format!("{head} {cell}")).collect();
    format!("{}: {} {}", row.name, told.join(", "), row.note)
}

fn cells(row: &Row) -> [String; 8] {
    let p50 = |spread: Option<Spread>| spread.map_or(String::new(), |s| figure(s.p50));
    let all = |spread: Option<Spread>| {
        spread.map_or(String::new(), |s| {
            format!("{}/{}/{}", figure(s.min), figure(s.p50), figure(s.p99))
        })
    };
    let trip = row.trip_us.map_or(String::new(), |s| format!("{:.0}/{:.0}", s.p50, s.p99));
    let whole = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.0}"));
    [
        row.name.clone(),
        p50(row.cold_ms),
        p50(row.demand_ms),
        all(row.warm_ms),
        all(row.sequence_ms),
        trip,
        whole(row.idle_kib),
        whole(row.per_second),
    ]
}

/// Three digits are as many as a busy machine gives.
fn figure(ms: f64) -> String {
    if ms >= 100.0 {
        format!("{ms:.0}")
    } else if ms >= 10.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.2}")
    }
}
