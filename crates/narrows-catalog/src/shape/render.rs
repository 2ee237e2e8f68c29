//! Reports and search results as text for a model.

use crate::typing::clean;
use narrows_types::fault::clip;
use narrows_types::{Detail, Language, LogLevel, RunEnd, RunReport, SearchHit, Shaped};
use std::fmt::Write as _;

/// Bytes of a whole description.
const DESCRIPTION_BYTES: usize = 8_192;

/// A run's report: value or error, logs, and the one-line bill.
pub fn render_run(report: &RunReport) -> String {
    let mut text = String::new();
    end(&report.end, &mut text);
    logs(report, &mut text);
    let bill = report.bill;
    let calls = if bill.calls == 1 { "1 call" } else { &format!("{} calls", bill.calls) };
    // Writing to a string cannot fail, here and below.
    let _infallible = write!(text, "[{calls}, {} ms", bill.ms);
    if bill.kept_bytes > 0 {
        let _infallible = write!(text, ", {} kept out of context", size(bill.kept_bytes));
    }
    text.push(']');
    text
}

fn end(end: &RunEnd, text: &mut String) {
    let _infallible = match end {
        RunEnd::Returned(shaped) => returned(shaped, text),
        RunEnd::Threw(error) => {
            let at =
                error.at.first().map_or(String::new(), |p| format!(" at {}:{}", p.line, p.column));
            writeln!(text, "{}: {}{at}", error.name, error.message)
        }
        RunEnd::Rejected { findings } => {
            let _infallible = writeln!(text, "not run, no call was made:");
            for f in findings {
                let _infallible = writeln!(text, "{}:{} {}", f.at.line, f.at.column, f.message);
            }
            Ok(())
        }
        RunEnd::Limit { limit, allowed: 0 } => {
            writeln!(text, "limit reached: {limit}; the recursion is too deep")
        }
        RunEnd::Limit { limit, allowed } => {
            writeln!(text, "limit reached: {limit} = {allowed}; do less in one program")
        }
        RunEnd::Deadlock => {
            writeln!(text, "deadlock: the program waits for something that can never happen")
        }
        RunEnd::Lost { reason } => writeln!(text, "the worker was lost: {reason}"),
    };
}

fn returned(shaped: &Shaped, text: &mut String) -> std::fmt::Result {
    if let Some(value) = &shaped.value {
        // A text is shown as it reads, anything else as JSON.
        return match serde_json::from_str::<String>(value.get()) {
            Ok(plain) => writeln!(text, "{plain}"),
            Err(_not_text) => writeln!(text, "{}", value.get()),
        };
    }
    writeln!(text, "{}", shaped.preview)?;
    if !shaped.shape.is_empty() {
        writeln!(text, "shape: {}", shaped.shape)?;
    }
    match &shaped.artifact {
        Some(handle) => writeln!(
            text,
            "too large: {} kept; the next program reads it with artifact(\"{handle}\")",
            size(shaped.bytes)
        ),
        None => writeln!(
            text,
            "too large: {}, and it could not be kept; return less",
            size(shaped.bytes)
        ),
    }
}

fn logs(report: &RunReport, text: &mut String) {
    if report.logs.is_empty() && report.logs_dropped == 0 {
        return;
    }
    text.push_str("log:\n");
    for line in &report.logs {
        let mark = match line.level {
            LogLevel::Error => "error: ",
            LogLevel::Warn => "warn: ",
            LogLevel::Info | LogLevel::Debug => "",
        };
        let _infallible = writeln!(text, "{mark}{}", line.text);
    }
    if report.logs_dropped > 0 {
        let _infallible = writeln!(text, "({} lines left out)", report.logs_dropped);
    }
}

fn size(bytes: u64) -> String {
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let (unit, divisor) = if bytes < 1_000_000 { ("KB", 1_000) } else { ("MB", 1_000_000) };
    format!("{}.{} {unit}", bytes / divisor, bytes % divisor * 10 / divisor)
}

/// Hits for a model to read: one line each, signature and sentence.
pub fn render_search(results: &[SearchHit], detail: Detail, language: Language) -> String {
    if results.is_empty() {
        return "nothing fits; try other words, or several queries".to_owned();
    }
    let mark = if language == Language::Python { "#" } else { "//" };
    let mut text = String::new();
    for hit in results {
        text.push_str(hit.signature.as_deref().unwrap_or(&hit.call));
        if let Some(about) = hit.description.as_deref().filter(|d| !d.is_empty()) {
            let _infallible = match detail {
                Detail::Full => write!(text, "\n{}", whole(about)),
                _ => write!(text, " {mark} {about}"),
            };
        }
        if let (Detail::Full, Some(schema)) = (detail, &hit.input_schema) {
            let _infallible = write!(text, "\ninput schema: {schema}");
        }
        if let (Detail::Full, Some(schema)) = (detail, &hit.output_schema) {
            let _infallible = write!(text, "\noutput schema: {schema}");
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// A whole description: its lines, without what could hide or reorder text.
fn whole(about: &str) -> String {
    let lines: Vec<String> = about.trim().lines().map(|l| clean(l.trim_end())).collect();
    clip(lines.join("\n"), DESCRIPTION_BYTES)
}
