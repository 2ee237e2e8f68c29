//! How a program ended: what it returned, or what nobody caught.

use monty_types::{ExcType, MontyException, MontyObject};
use narrows_types::fault::clip;
use narrows_types::frame::End;
use narrows_types::{Limit, Position, ProgramError};

use super::runtime::Session;
use super::source::Rewritten;
use super::value::{self, Strange, Unfit};

/// Bytes of an error's message.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// Frames of a traceback that are reported.
const FRAMES_MAX: usize = 16;

/// Where an error arose in the program's own text, innermost first.
pub(super) fn places(error: &MontyException, script: &str, rewritten: &Rewritten) -> Vec<Position> {
    let own = error.traceback().iter().rev().filter(|frame| frame.filename == script);
    own.filter_map(|frame| rewritten.back(frame.start.line, frame.start.column))
        .take(FRAMES_MAX)
        .collect()
}

impl<S> Session<'_, S> {
    /// The end of a program that gave this.
    pub(super) fn returned(&self, result: &MontyObject) -> End {
        match value::to_json(result, Strange::Describe, self.program.limits.value_bytes) {
            Ok(json) => End::Value(json),
            Err(Unfit::TooLong) => End::Limit(Limit::ValueBytes),
            Err(Unfit::NotJson(message)) => {
                let name = "ValueError".to_owned();
                End::Threw(ProgramError { name, message, at: Vec::new() })
            }
        }
    }

    /// How an exception that nobody caught ends the run.
    pub(super) fn failed(&self, error: &MontyException) -> End {
        let message = error.message().unwrap_or("");
        if let Some(limit) = self.expired {
            return End::Limit(limit);
        }
        match error.exc_type() {
            ExcType::TimeoutError if message.starts_with("time limit exceeded") => {
                return End::Limit(Limit::WallMs);
            }
            ExcType::MemoryError if message.starts_with("memory limit exceeded") => {
                return End::Limit(Limit::MemoryBytes);
            }
            ExcType::RecursionError if message.starts_with("maximum recursion depth") => {
                return End::Limit(Limit::Stack);
            }
            _ => {}
        }
        let tool = self.tool_errors.iter().any(|known| known == message);
        let name = if tool { "ToolError".to_owned() } else { error.exc_type().to_string() };
        let mut message = message.to_owned();
        if error.exc_type() == ExcType::TypeError && message.contains("coroutine") {
            message.push_str("; is an await missing before a tool call?");
        }
        let message = clip(message, MESSAGE_BYTES_MAX);
        End::Threw(ProgramError { name, message, at: places(error, &self.script, &self.rewritten) })
    }
}
