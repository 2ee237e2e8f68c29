//! What a program says, within the run's budget.

use narrows_types::fault::clip;
use narrows_types::frame::Log;
use narrows_types::{Limits, LogLevel};

/// The longest line; what is longer is cut.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Counts what is said.
#[derive(Debug)]
pub(super) struct Output {
    said_bytes: u64,
    bytes_max: u64,
    dropped: u64,
}

impl Output {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { said_bytes: 0, bytes_max: limits.log_bytes, dropped: 0 }
    }

    /// The line as it may leave, if it may.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        let head = line.get(..line.floor_char_boundary(LINE_BYTES_MAX + 4)).unwrap_or("");
        let text = clip(head.to_owned(), LINE_BYTES_MAX);
        let bytes = text.len() as u64 + 1;
        // Once a line did not fit, later ones are dropped too: no gaps in what is shown.
        if self.dropped > 0 || self.said_bytes + bytes > self.bytes_max {
            self.dropped += 1;
            return None;
        }
        self.said_bytes += bytes;
        Some(text)
    }

    /// How much was dropped, if anything was.
    pub(super) fn last(&self) -> Option<Log> {
        let text = format!("{} more lines dropped: log_bytes is {}", self.dropped, self.bytes_max);
        (self.dropped > 0).then_some(Log { level: LogLevel::Warn, text })
    }
}
