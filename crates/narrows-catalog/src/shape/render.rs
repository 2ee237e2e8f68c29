//! Reports and search results as text for a model.

use super::first_sentence;
use crate::typing::clean;
use narrows_types::fault::clip;
use narrows_types::{
    Asked, Detail, Language, Limit, LogLevel, RunEnd, RunId, RunReport, SearchHit, Shaped,
};
use std::fmt::Write as _;

/// Bytes of a whole search answer.
const SEARCH_BYTES: usize = 8 << 10;
/// Bytes that are left for saying how many hits were left out.
const LEFT_OUT_BYTES: usize = 100;
/// Bytes that are left for saying that a schema was cut.
const CUT_BYTES: usize = 40;
/// Bytes of one hit with its schemas; with less it is told in one line.
const WHOLE_BYTES: usize = 1 << 10;

/// A run's report: value or error, logs, and the one-line bill.
pub fn render_run(report: &RunReport) -> String {
    let mut text = String::new();
    end(report, &mut text);
    logs(report, &mut text);
    let bill = report.bill;
    let calls = if bill.calls == 1 { "1 call" } else { &format!("{} calls", bill.calls) };
    // Writing to a string cannot fail, here and below.
    let _infallible = write!(text, "[{calls}, {} ms", bill.ms);
    if bill.cached > 0 {
        let _infallible = write!(text, ", {} answered from the cache", bill.cached);
    }
    if bill.kept_bytes > 0 {
        let _infallible = write!(text, ", {} kept out of context", size(bill.kept_bytes));
    }
    text.push(']');
    text
}

fn end(report: &RunReport, text: &mut String) {
    let _infallible = match &report.end {
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
        RunEnd::Limit { limit: limit @ Limit::Stack, .. } => {
            writeln!(text, "limit reached: {limit}; the recursion is too deep")
        }
        RunEnd::Limit { limit, allowed } => {
            let _infallible = write!(text, "limit reached: {limit} = {allowed}");
            for (index, (of, used)) in report.usage.of_limits().enumerate() {
                let before = if index == 0 { "; used" } else { "," };
                let _infallible = write!(text, "{before} {of} = {used}");
            }
            writeln!(text, "; do less in one program")
        }
        RunEnd::Deadlock => {
            writeln!(text, "deadlock: the program waits for something that can never happen")
        }
        RunEnd::Paused { questions } => paused(&report.run, questions, text),
        RunEnd::Diverged { reason } => writeln!(text, "cannot go on: {reason}"),
        RunEnd::Lost { reason } => writeln!(text, "the worker was lost: {reason}"),
    };
}

/// What a run waits for, and how it goes on.
pub fn render_paused(run: &RunId, questions: &[Asked]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = paused(run, questions, &mut text);
    text.truncate(text.trim_end().len());
    text
}

/// A paused run, with its questions and how they are answered.
fn paused(run: &RunId, questions: &[Asked], text: &mut String) -> std::fmt::Result {
    writeln!(text, "paused: {run} waits for answers")?;
    for asked in questions {
        write!(text, "{} ", asked.id)?;
        if !asked.about.is_empty() {
            write!(text, "({}) ", asked.about)?;
        }
        write!(text, "{}", asked.message)?;
        if let Some(schema) = &asked.schema {
            write!(text, " answer: {}", schema.get())?;
        }
        text.push('\n');
    }
    let answers: Vec<String> = questions
        .iter()
        .map(|asked| format!("{{\"id\": \"{}\", \"content\": {{...}}}}", asked.id))
        .collect();
    let answers = answers.join(", ");
    writeln!(text, "go on with run({{\"resume\": \"{run}\", \"answers\": [{answers}]}})")
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

/// Hits for a model to read, in at most 8 KB: one line each, signature and sentence.
pub fn render_search(results: &[SearchHit], detail: Detail, language: Language) -> String {
    fit_search(results, detail, language, SEARCH_BYTES)
}

/// Hits for a model to read, best first: those that fit into a budget, and how many more there are.
pub fn fit_search(
    results: &[SearchHit],
    detail: Detail,
    language: Language,
    bytes_max: usize,
) -> String {
    if results.is_empty() {
        return "nothing fits; try other words, or several queries".to_owned();
    }
    let mut text = String::new();
    let mut told = 0;
    for hit in results {
        let left = results.len() - told;
        // Only the last needs no word on those behind it.
        let kept = if left == 1 { 0 } else { LEFT_OUT_BYTES };
        let room = bytes_max.saturating_sub(text.len() + 1 + kept);
        let share = if left == 1 { room } else { room / 2 };
        let entry = match detail {
            // The best ones in full, the others as there is room for.
            Detail::Full if told == 0 || share >= WHOLE_BYTES => whole(hit, share),
            _ => line(hit, language),
        };
        if entry.len() > room && told > 0 {
            break;
        }
        text.push_str(&clip(entry, room));
        text.push('\n');
        told += 1;
    }
    match (results.len() - told, detail) {
        (0, _) => {}
        (more, Detail::Names) => {
            let _infallible = write!(text, "{more} more; ask with fewer words or one server");
        }
        (more, _) => {
            let _infallible =
                write!(text, "{more} more; ask with a smaller limit or detail \"names\"");
        }
    }
    text.truncate(text.trim_end().len());
    clip(text, bytes_max)
}

fn head(hit: &SearchHit) -> String {
    clean(hit.signature.as_deref().unwrap_or(&hit.call))
}

fn line(hit: &SearchHit, language: Language) -> String {
    let mark = if language == Language::Python { "#" } else { "//" };
    let about = first_sentence(hit.description.as_deref().unwrap_or_default());
    if about.is_empty() { head(hit) } else { format!("{} {mark} {about}", head(hit)) }
}

/// Everything of a tool in at most so many bytes; what is cut says so, or it would pass for the
/// whole.
fn whole(hit: &SearchHit, bytes: usize) -> String {
    let text = clip(head(hit), bytes);
    let about = hit.description.as_deref().unwrap_or_default();
    let about: Vec<String> = about.trim().lines().map(|l| clean(l.trim_end())).collect();
    let mut parts = vec![("", about.join("\n"))];
    for (label, schema) in
        [("input schema: ", &hit.input_schema), ("output schema: ", &hit.output_schema)]
    {
        parts.extend(schema.as_ref().map(|schema| (label, clean(&schema.to_string()))));
    }
    parts.retain(|(_, part)| !part.is_empty());
    let labels: usize = parts.iter().map(|(label, _)| label.len() + 1).sum();
    let room = bytes.saturating_sub(text.len() + labels);
    let most = fair_share(parts.iter().map(|(_, part)| part.len()).collect(), room);
    parts.into_iter().fold(text, |text, (label, part)| {
        let whole = part.len();
        if whole <= most {
            format!("{text}\n{label}{part}")
        } else if most >= 2 * CUT_BYTES {
            let part = clip(part, most - CUT_BYTES);
            format!("{text}\n{label}{part} (cut: {whole} bytes in all)")
        } else {
            text
        }
    })
}

/// The most that each part may take, if small parts leave to large ones what they do not need.
fn fair_share(mut sizes: Vec<usize>, mut room: usize) -> usize {
    sizes.sort_unstable();
    for (at, size) in sizes.iter().enumerate() {
        let share = room / (sizes.len() - at);
        if *size > share {
            return share;
        }
        room -= size;
    }
    usize::MAX
}
