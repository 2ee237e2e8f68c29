//! Cutting what goes back to a byte budget, and turning it into text for a model.

mod preview;
mod render;
mod value;

pub use preview::{describe, shape};
pub use render::{render_run, render_search};
pub use value::{error_text, program_value, shown};

use crate::typing::clean;
use narrows_types::fault::clip;
use narrows_types::{Finding, LogLine};

/// Bytes of one sentence about a tool.
const SENTENCE_BYTES: usize = 120;

/// The first sentence of a description, on one line and without markup (untrusted text).
pub fn first_sentence(description: &str) -> String {
    let line = description
        .lines()
        .map(|l| l.trim().trim_start_matches(['#', '*', '-', '>', ' ', '`', '=']).trim())
        .find(|l| l.chars().any(char::is_alphabetic))
        .unwrap_or_default();
    let mut text = clean(line).replace("**", "").replace('`', "");
    if let Some(end) = sentence_end(&text) {
        text.truncate(end);
    }
    clip(text.trim().trim_end_matches('.').to_owned(), SENTENCE_BYTES)
}

/// Where the first sentence ends: a full stop before a space and a capital, not after `e.g`.
fn sentence_end(text: &str) -> Option<usize> {
    text.match_indices(". ").map(|(at, _)| at).find(|at| {
        let (before, after) = text.split_at_checked(*at).unwrap_or((text, ""));
        let word = before.rsplit(' ').next().unwrap_or_default();
        let after = after.trim_start_matches(['.', ' ']);
        !word.contains('.')
            && word.len() > 2
            && after.starts_with(|c: char| c.is_uppercase() || c.is_numeric())
    })
}

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
