//! Cutting what goes back to a byte budget, and turning it into text for a model.

mod outline;
mod piece;
mod preview;
mod render;
mod sentence;
mod value;

pub use preview::{describe, shape};
pub use render::{fit_search, render_paused, render_run, render_search};
pub use sentence::first_sentence;
pub use value::{error_text, program_value, shown};

use narrows_types::{Finding, LogLine};

/// A text cut to a budget, its beginning and its end kept.
pub fn fit_text(text: &str, bytes: usize) -> String {
    const MARK: &str = " [...] ";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let room = bytes.saturating_sub(MARK.len());
    let head = floor(text, room * 2 / 3);
    let tail = ceil(text, text.len() - (room - room * 2 / 3).min(text.len()));
    let head = text.get(..head).unwrap_or_default();
    let tail = text.get(tail..).unwrap_or_default();
    if bytes < MARK.len() { head.to_owned() } else { format!("{head}{MARK}{tail}") }
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// Log lines cut to a budget: the first and the last are kept, those between are counted.
pub fn fit_logs(logs: Vec<LogLine>, bytes: usize) -> (Vec<LogLine>, u64) {
    let size = |l: &LogLine| l.text.len() + 1;
    if logs.iter().map(size).sum::<usize>() <= bytes {
        return (logs, 0);
    }
    let line_max = (bytes / 4).max(40);
    let mut logs: Vec<LogLine> = logs
        .into_iter()
        .map(|l| LogLine { level: l.level, text: fit_text(&l.text, line_max) })
        .collect();
    let total = logs.len();
    let (mut head, mut used) = (0, 0);
    while let Some(line) = logs.get(head).filter(|l| used + size(l) <= bytes / 2) {
        used += size(line);
        head += 1;
    }
    let mut tail = total;
    while let Some(line) =
        logs.get(tail.wrapping_sub(1)).filter(|l| tail > head && used + size(l) <= bytes)
    {
        used += size(line);
        tail -= 1;
    }
    logs.drain(head..tail);
    (logs, (tail - head) as u64)
}

/// Findings cut to a budget: those that fit, and how many more there are.
pub fn fit_findings(findings: Vec<Finding>, bytes: usize) -> Vec<Finding> {
    let total = findings.len();
    let mut used = 0;
    let mut kept: Vec<Finding> = Vec::new();
    for finding in findings {
        let message = fit_text(&finding.message, (bytes / 2).max(80));
        used += message.len() + 16;
        if used > bytes && !kept.is_empty() {
            let message = format!("and {} more findings", total - kept.len());
            kept.push(Finding { at: finding.at, message });
            break;
        }
        kept.push(Finding { at: finding.at, message });
    }
    kept
}

#[cfg(test)]
mod tests;
