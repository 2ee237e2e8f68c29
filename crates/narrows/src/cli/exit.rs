//! Exit codes, and every way in which a command fails.

use crate::config::Problem;
use narrows_types::{Fault, Kind, Origin, RunEnd};
use serde_json::{Value, json};
use std::{fmt, io};

/// Done.
pub(crate) const OK: u8 = 0;
/// The program threw, or a tool said that it failed.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage or config.
pub(crate) const USAGE: u8 = 2;
/// The program was rejected before it ran.
pub(crate) const REJECTED: u8 = 3;
/// A limit or a deadline was reached.
pub(crate) const LIMIT: u8 = 4;
/// A server could not be reached.
pub(crate) const UPSTREAM: u8 = 5;
/// A worker was lost, or Narrows is defective.
pub(crate) const LOST: u8 = 6;
/// It waits for answers.
pub(crate) const PAUSED: u8 = 7;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Fail {
    /// The arguments are wrong: what, and the next step.
    Usage(Problem),
    /// The config is wrong.
    Config(Vec<Problem>),
    /// The house could not do it.
    Fault(Fault),
    /// Standard output is gone or full.
    Output(io::Error),
}

impl Fail {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(Problem::new(message))
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => USAGE,
            Self::Fault(fault) => of_fault(fault),
            // Whoever reads us has read enough (`| head`).
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => OK,
            Self::Output(_) => LOST,
        }
    }

    /// Whether there is anything to say.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// For a program that reads us.
    pub(crate) fn json(&self) -> Value {
        let error = match self {
            Self::Usage(problem) => json!({"kind": "usage", "problems": [problem.to_string()]}),
            Self::Config(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                json!({"kind": "config", "problems": problems})
            }
            Self::Fault(fault) => json!(fault),
            Self::Output(e) => json!({"kind": "output", "message": e.to_string()}),
        };
        json!({ "error": error })
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) => problem.fmt(f),
            Self::Config(problems) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::Fault(fault) => fault.fmt(f),
            Self::Output(e) => write!(f, "cannot write the answer: {e}"),
        }
    }
}

impl From<io::Error> for Fail {
    fn from(e: io::Error) -> Self {
        Self::Output(e)
    }
}

/// The exit code of a fault: that of its kind, but a server that is not there is no defect of ours.
pub(crate) fn of_fault(fault: &Fault) -> u8 {
    match (fault.kind, &fault.origin) {
        (Kind::Unavailable | Kind::Lost, Origin::Upstream(_)) => UPSTREAM,
        (Kind::Unavailable, Origin::Narrows) if fault.message.starts_with("cannot bind ") => USAGE,
        (kind, _) => narrows_downstream::fault::wire(kind).exit,
    }
}

/// The exit code of a run.
pub(crate) fn of_run(end: &RunEnd) -> u8 {
    match end {
        RunEnd::Returned(_) => OK,
        RunEnd::Threw(_) | RunEnd::Deadlock => FAILED,
        RunEnd::Rejected { .. } => REJECTED,
        RunEnd::Limit { .. } => LIMIT,
        RunEnd::Paused { .. } => PAUSED,
        RunEnd::Lost { .. } | RunEnd::Diverged { .. } => LOST,
    }
}
