//! What a program says while it runs.

use narrows_types::fault::clip;
use narrows_types::frame::{FromWorker, Log};
use narrows_types::{Limits, LogLevel};
use std::io::{Read, Write};

use crate::link::{Link, LinkError};

/// The longest line; what is longer is cut.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Sends what is printed, line by line, within the run's budget.
#[derive(Debug)]
pub(super) struct Output {
    line: String,
    /// The line is full, and what still comes of it is left out.
    full: bool,
    sent_bytes: u64,
    bytes_max: u64,
    dropped: u64,
}

impl Output {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            line: String::new(),
            full: false,
            sent_bytes: 0,
            bytes_max: limits.log_bytes,
            dropped: 0,
        }
    }

    /// Takes printed text, with or without line breaks.
    pub(super) fn push<S: Read + Write>(
        &mut self,
        text: &str,
        link: &mut Link<S>,
    ) -> Result<(), LinkError> {
        let mut pieces = text.split('\n').peekable();
        while let Some(piece) = pieces.next() {
            if !self.full {
                let room = (LINE_BYTES_MAX + 4).saturating_sub(self.line.len());
                let end = piece.floor_char_boundary(room);
                self.line.push_str(piece.get(..end).unwrap_or(""));
                self.full = self.line.len() > LINE_BYTES_MAX;
            }
            if pieces.peek().is_some() {
                self.end_line(link)?;
            }
        }
        Ok(())
    }

    /// Sends what is left, and how much was dropped.
    pub(super) fn finish<S: Read + Write>(&mut self, link: &mut Link<S>) -> Result<(), LinkError> {
        if !self.line.is_empty() {
            self.end_line(link)?;
        }
        if self.dropped > 0 {
            let text =
                format!("{} more lines dropped: log_bytes is {}", self.dropped, self.bytes_max);
            self.dropped = 0;
            link.send(&FromWorker::Log(Log { level: LogLevel::Warn, text }))?;
        }
        Ok(())
    }

    fn end_line<S: Read + Write>(&mut self, link: &mut Link<S>) -> Result<(), LinkError> {
        let text = clip(std::mem::take(&mut self.line), LINE_BYTES_MAX);
        self.full = false;
        let bytes = text.len() as u64 + 1;
        // Once a line did not fit, later ones are dropped too: no gaps in what is shown.
        if self.dropped > 0 || self.sent_bytes + bytes > self.bytes_max {
            self.dropped += 1;
            return Ok(());
        }
        self.sent_bytes += bytes;
        link.send(&FromWorker::Log(Log { level: LogLevel::Info, text }))
    }
}
