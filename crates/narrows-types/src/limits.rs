//! Limits of a run. The same names and meanings on every back end.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What one run may use. A call can only tighten what the config allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Milliseconds from start to end, waiting for tools included.
    pub wall_ms: u64,
    /// Milliseconds of processor time inside the worker.
    pub cpu_ms: u64,
    /// Bytes of heap of the interpreter.
    pub memory_bytes: u64,
    /// Tool calls in the run.
    pub calls: u32,
    /// Tool calls under way at once; further ones wait.
    pub calls_parallel: u32,
    /// Bytes of one tool result that enters the worker.
    pub result_bytes: u64,
    /// Bytes of the returned value that leave the worker (beyond the reply's budget it becomes an
    /// artifact).
    pub value_bytes: u64,
    /// Bytes of all log lines of the run; later lines are dropped and counted.
    pub log_bytes: u64,
    /// Bytes of everything that goes back to the agent: value, logs, errors.
    pub output_bytes: u64,
    /// Bytes of the program's text.
    pub code_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_ms: 60_000,
            cpu_ms: 10_000,
            memory_bytes: 128 << 20,
            calls: 1_000,
            calls_parallel: 64,
            result_bytes: 16 << 20,
            value_bytes: 16 << 20,
            log_bytes: 256 << 10,
            output_bytes: 2_048,
            code_bytes: 256 << 10,
        }
    }
}

/// Which limit ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`Limits::wall_ms`].
    WallMs,
    /// [`Limits::cpu_ms`].
    CpuMs,
    /// [`Limits::memory_bytes`].
    MemoryBytes,
    /// [`Limits::calls`].
    Calls,
    /// [`Limits::result_bytes`].
    ResultBytes,
    /// [`Limits::value_bytes`].
    ValueBytes,
    /// The depth of the call stack.
    Stack,
}

impl Limit {
    /// The limit's name as it stands in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::WallMs => "wall_ms",
            Self::CpuMs => "cpu_ms",
            Self::MemoryBytes => "memory_bytes",
            Self::Calls => "calls",
            Self::ResultBytes => "result_bytes",
            Self::ValueBytes => "value_bytes",
            Self::Stack => "stack",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
