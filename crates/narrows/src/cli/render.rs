//! Answers for people.

use super::output::{Output, Tone, safe};
use narrows_types::fault::clip;
use narrows_types::{Content, SearchAnswer, ServerListing, ServerState, ServerStatus, ToolResult};
use serde_json::Value;

/// Bytes of one cell.
const CELL_BYTES_MAX: usize = 160;

/// Tools that were found: the same text that a model reads.
pub(super) fn search(found: &SearchAnswer) -> String {
    if found.results.is_empty() {
        return "nothing was found; other words may help, and `narrows tools` lists everything"
            .to_owned();
    }
    safe(&found.text)
}

/// Every tool.
pub(super) fn tools(listings: &[ServerListing], out: &Output) -> String {
    let rows: Vec<_> = listings
        .iter()
        .flat_map(|listing| listing.tools.iter().map(move |tool| (listing, tool)))
        .map(|(listing, tool)| {
            let name = format!("{}.{}", listing.server, tool.name);
            let about = first_line(tool.description.as_deref().unwrap_or_default());
            vec![(name, Some(Tone::Strong)), (about, None)]
        })
        .collect();
    if rows.is_empty() {
        return "no tools; `narrows servers` shows why".to_owned();
    }
    let count = rows.len();
    let plural = if count == 1 { "tool" } else { "tools" };
    format!("{}\n{count} {plural}", out.table(&["TOOL", "WHAT IT DOES"], rows))
}

/// State of every server.
pub(super) fn servers(states: &[ServerStatus], out: &Output) -> String {
    if states.is_empty() {
        return "no servers; `narrows add` and `narrows import` connect some".to_owned();
    }
    let rows = states.iter().map(|s| {
        let (word, tone) = match s.state {
            ServerState::Ready => ("ready", Tone::Good),
            ServerState::Cached => ("cached", Tone::Good),
            ServerState::Idle => ("idle", Tone::Dim),
            ServerState::Starting => ("starting", Tone::Warn),
            ServerState::Failed => ("failed", Tone::Bad),
            ServerState::Disabled => ("disabled", Tone::Dim),
        };
        let skipped = s.skipped.first().map(|first| {
            let more = s.skipped.len() - 1;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("skipped {first}{more}")
        });
        let trouble = s.last_error.clone().or(skipped).unwrap_or_default();
        vec![
            (s.server.clone(), Some(Tone::Strong)),
            (word.to_owned(), Some(tone)),
            (s.tools.to_string(), None),
            (s.transport.clone(), None),
            (s.version.clone().unwrap_or_default(), None),
            (s.revision.clone().unwrap_or_default(), None),
            (s.keeping.join(", "), None),
            (first_line(&trouble), s.last_error.as_ref().map(|_| Tone::Bad)),
        ]
    });
    let head = ["SERVER", "STATE", "TOOLS", "BY", "VERSION", "REVISION", "KEPT", "TROUBLE"];
    out.table(&head, rows.collect())
}

/// What a tool gave back.
pub(super) fn result(result: &ToolResult) -> String {
    if let Some(structured) = &result.structured_content {
        return safe(&super::run::pretty(structured));
    }
    let parts: Vec<String> = result.content.iter().map(part).collect();
    safe(&parts.join("\n"))
}

fn part(content: &Content) -> String {
    if let Some(text) = content.as_text() {
        return text.to_owned();
    }
    let data = |key: &str| content.0.get(key).and_then(Value::as_str);
    match data("data") {
        Some(data) => {
            let mime = content.0.get("mimeType").and_then(Value::as_str).unwrap_or("unknown type");
            format!("[{}, {mime}, about {} bytes]", content.kind(), data.len() / 4 * 3)
        }
        None => format!("{:#}", content.0),
    }
}

/// The first line with words on it, short.
pub(super) fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    clip(line.to_owned(), CELL_BYTES_MAX)
}

#[cfg(test)]
mod tests;
