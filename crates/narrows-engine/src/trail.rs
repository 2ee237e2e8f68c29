//! What a run leaves behind on its way: calls, logs, content that it shows. A program decides how
//! much of it there is, so all of it is bounded.

use crate::entry::Outcome;
use narrows_catalog::shape;
use narrows_types::frame::{CallError, Reply};
use narrows_types::{CallRecord, Content, Limits, LogLevel, LogLine};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashMap;

/// Content blocks that one run may show.
const SHOWN_MAX: usize = 64;
/// Text that is shown may take this part of the reply: one in so many bytes.
const SHOWN_SHARE: u64 = 2;
/// Bytes of pictures and the like that one run keeps, and again that it shows.
const CONTENT_BYTES_MAX: usize = 64 << 20;

/// What a run did.
#[derive(Default)]
pub(crate) struct Trail {
    pub(crate) calls: Vec<CallRecord>,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) logs_dropped: u64,
    pub(crate) shown: Vec<Content>,
    /// Bytes of text among what is shown: they count towards the reply.
    pub(crate) shown_text_bytes: u64,
    shown_bytes: usize,
    shown_dropped: usize,
    log_bytes: u64,
    handles: HashMap<String, Content>,
    handle_bytes: usize,
}

impl Trail {
    /// What the program can hear of a call: an error instead of more content than a run keeps.
    pub(crate) fn fitting(&self, mut outcome: Outcome) -> Outcome {
        let bytes = content_bytes(&outcome);
        if self.handle_bytes.saturating_add(bytes) > CONTENT_BYTES_MAX {
            (outcome.ok, outcome.body) = (false, too_much(&outcome, bytes));
            outcome.handles.clear();
        }
        outcome
    }

    /// Notes what the program hears of a call, which the worker knows by `id`.
    pub(crate) fn record(&mut self, id: u32, outcome: Outcome) -> Reply {
        self.handle_bytes += content_bytes(&outcome);
        let Outcome { ok, at_us, body, handles, record, .. } = outcome;
        self.handles.extend(handles);
        self.calls.extend(record);
        Reply { id, ok, at_us, body: Box::<str>::from(body).into() }
    }

    /// Keeps a line, if there is room for it.
    pub(crate) fn log(&mut self, line: &LogLine, limits: &Limits) -> bool {
        self.log_bytes = self.log_bytes.saturating_add(line.text.len() as u64 + 1);
        let fits = self.log_bytes <= limits.log_bytes;
        if fits {
            self.logs.push(line.clone());
        } else {
            self.logs_dropped += 1;
        }
        fits
    }

    /// A handle becomes the content that it stands for; anything else is shown as text. What does
    /// not fit is left out, and counted.
    pub(crate) fn show(&mut self, value: &RawValue, limits: &Limits) {
        if self.shown.len() >= SHOWN_MAX || self.shown_bytes >= CONTENT_BYTES_MAX {
            self.shown_dropped += 1;
            return;
        }
        let content = shape::shown(value, |key| self.handles.get(key).cloned());
        let text = content.as_text().map_or(0, |text| text.len() as u64);
        if self.shown_text_bytes.saturating_add(text) > limits.output_bytes / SHOWN_SHARE {
            self.shown_dropped += 1;
            return;
        }
        self.shown_text_bytes += text;
        self.shown_bytes = self.shown_bytes.saturating_add(weight(&content.0));
        self.shown.push(content);
    }

    /// Says what was left out, once the run is over.
    pub(crate) fn close(&mut self) {
        if self.shown_dropped > 0 {
            let text = format!(
                "{} things shown were left out: at most {SHOWN_MAX}, and text within half the byte \
                 budget; return a value instead",
                self.shown_dropped
            );
            self.logs.push(LogLine { level: LogLevel::Warn, text });
        }
    }
}

fn content_bytes(outcome: &Outcome) -> usize {
    outcome.handles.iter().map(|(_, content)| weight(&content.0)).sum()
}

fn too_much(outcome: &Outcome, bytes: usize) -> Box<RawValue> {
    let tool = outcome.record.as_ref().map(|call| format!("{}.{}", call.server, call.tool));
    let message = format!(
        "{bytes} more bytes of pictures or other content; a run keeps at most {CONTENT_BYTES_MAX}"
    );
    let error = CallError { tool: tool.unwrap_or_default(), message, arguments: String::new() };
    to_raw_value(&error).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Bytes that a value roughly takes.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 32,
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + 32,
        Value::Object(members) => {
            members.iter().map(|(key, value)| key.len() + weight(value) + 32).sum::<usize>() + 32
        }
        _ => 32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shown_text_keeps_to_the_budget_and_says_what_is_missing() {
        let limits = Limits { output_bytes: 1_000, ..Limits::default() };
        let mut trail = Trail::default();
        for _ in 0..10 {
            trail.show(&to_raw_value(&json!("x".repeat(300))).unwrap(), &limits);
        }
        trail.close();
        assert_eq!(trail.shown.len(), 1);
        assert_eq!(trail.shown_text_bytes, 300);
        assert!(trail.logs[0].text.starts_with("9 things shown were left out"), "{:?}", trail.logs);
    }

    #[test]
    fn weight_grows_with_what_is_inside() {
        assert!(weight(&json!({"data": "x".repeat(1_000)})) > 1_000);
        assert!(weight(&json!([1, 2, 3])) >= 96);
    }
}
