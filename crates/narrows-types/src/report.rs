//! How a run ended and what it did.

use crate::content::Content;
use crate::durable::Asked;
use crate::id::{ArtifactId, RunId};
use crate::limits::Limit;
use crate::uses::{Finding, Position};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// `console.debug`.
    Debug,
    /// `console.log`, `console.info`, `print`.
    Info,
    /// `console.warn`.
    Warn,
    /// `console.error`.
    Error,
}

/// One captured line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How loud.
    pub level: LogLevel,
    /// The text, without its line break.
    pub text: String,
}

/// An error that the program threw and did not catch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramError {
    /// The class: `TypeError`, `ToolError`, `ValueError`.
    pub name: String,
    /// The message.
    pub message: String,
    /// Where in the program's own text, innermost first, where known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<Position>,
}

/// What a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Microseconds from start to end.
    pub wall_us: u64,
    /// Microseconds of processor time in the worker.
    pub cpu_us: u64,
    /// Largest heap of the interpreter in bytes, where the engine tells.
    pub memory_bytes: u64,
    /// Bytes of the run's files, the most of them at once where that is known.
    #[serde(skip_serializing_if = "is_none")]
    pub disk_bytes: u64,
    /// Files and folders of the run, in the same way.
    #[serde(skip_serializing_if = "is_none")]
    pub files: u64,
}

impl Usage {
    /// What was used of what has a limit, by the limits' names; what is not known is left out.
    pub fn of_limits(&self) -> impl Iterator<Item = (Limit, u64)> {
        let millis = |us: u64| us.div_ceil(1_000);
        [
            (Limit::WallMs, millis(self.wall_us)),
            (Limit::CpuMs, millis(self.cpu_us)),
            (Limit::MemoryBytes, self.memory_bytes),
            (Limit::DiskBytes, self.disk_bytes),
            (Limit::Files, self.files),
        ]
        .into_iter()
        .filter(|(_, used)| *used > 0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(n: &u64) -> bool {
    *n == 0
}

/// One tool call of a run: a bar of the waterfall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The upstream's configured name.
    pub server: String,
    /// The tool's name on the wire.
    pub tool: String,
    /// Microseconds from the run's start to the call.
    pub start_us: u64,
    /// Microseconds that it took.
    pub took_us: u64,
    /// Bytes of its arguments as JSON.
    pub sent_bytes: u64,
    /// Bytes of its result as JSON.
    pub received_bytes: u64,
    /// It succeeded.
    pub ok: bool,
    /// The answer was known already: the upstream was not asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
}

/// A value cut to a byte budget.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shaped {
    /// The whole value where it fits the budget, else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<RawValue>>,
    /// Where it does not fit: its beginning, for a reader.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preview: String,
    /// Where it does not fit: keys, lengths and types.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shape: String,
    /// Where it does not fit: the handle that the next program reads with `artifact(handle)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactId>,
    /// Bytes of the whole value as JSON.
    pub bytes: u64,
}

/// How a run ended. Misbehaving code is data, never an `Err`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "end")]
pub enum RunEnd {
    /// It returned a value.
    Returned(Shaped),
    /// It threw an error and did not catch it.
    Threw(ProgramError),
    /// It was not started: the check found these.
    Rejected {
        /// Every finding, in order of position.
        findings: Vec<Finding>,
    },
    /// It reached a limit.
    Limit {
        /// Which.
        limit: Limit,
        /// The limit's value, in the unit of its name.
        allowed: u64,
    },
    /// It waits for something that can never happen.
    Deadlock,
    /// It waits for somebody's answers; nothing of it is held in memory.
    Paused {
        /// What it asks.
        questions: Vec<Asked>,
    },
    /// Its journal no longer fits its program or the tools.
    Diverged {
        /// Why, and what to do.
        reason: String,
    },
    /// Its worker broke or broke the protocol.
    Lost {
        /// Why, one line.
        reason: String,
    },
}

/// The one-line bill of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bill {
    /// Tool calls made.
    pub calls: u32,
    /// Milliseconds from start to end.
    pub ms: u64,
    /// Bytes of results that stayed out of the agent's context.
    pub kept_bytes: u64,
    /// Calls whose answer was known already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What the agent gets to know of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunReport {
    /// Which run.
    pub run: RunId,
    /// How it ended.
    #[serde(flatten)]
    pub end: RunEnd,
    /// Captured log lines, cut to the budget.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogLine>,
    /// Log lines that were dropped for the budget.
    #[serde(default)]
    pub logs_dropped: u64,
    /// Content handed to `show`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<Content>,
    /// Every call, by start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallRecord>,
    /// What it used.
    pub usage: Usage,
    /// The bill.
    pub bill: Bill,
    /// All of it rendered for a model to read, within the budget.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}
