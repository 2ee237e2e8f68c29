//! Jobs: what is done in the background.

use super::Asked;
use crate::ask::{CallAsk, RunAsk};
use crate::id::{JobId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What is to be done in the background.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobWork {
    /// A program.
    Run(RunAsk),
    /// An intent.
    Intent {
        /// Its name.
        name: String,
        /// Its input, a JSON object.
        input: Option<Box<RawValue>>,
    },
    /// One call.
    Call(CallAsk),
    /// A run goes on.
    Resume {
        /// Which.
        run: RunId,
    },
}

/// How a job is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct JobOptions {
    /// Higher goes first.
    pub priority: i32,
    /// Milliseconds until it may begin.
    pub delay_ms: u64,
    /// How often it may be begun; the config's by default.
    pub max_attempts: Option<u32>,
    /// A cron line of five fields, UTC: a job each time, until the schedule is removed.
    pub cron: Option<String>,
}

/// What is asked of the queue.
#[derive(Debug, Clone)]
pub enum JobsAsk {
    /// A new job, or a schedule of jobs.
    Submit {
        /// What is to be done.
        work: Box<JobWork>,
        /// How.
        options: JobOptions,
    },
    /// The last ones, newest first.
    List {
        /// At most so many.
        limit: usize,
        /// Only those in this state: `queued`, `running`, `paused`, `done`, `failed`, `dead`,
        /// `cancelled`.
        state: Option<String>,
    },
    /// One.
    Show {
        /// Which.
        job: JobId,
        /// Waits so long for its end or its pause.
        wait_ms: u64,
    },
    /// Its run's log lines.
    Logs {
        /// Which.
        job: JobId,
    },
    /// Asks for its end.
    Cancel {
        /// Which.
        job: JobId,
    },
    /// Begins it again.
    Retry {
        /// Which.
        job: JobId,
    },
    /// Every schedule.
    Schedules,
    /// Removes a schedule.
    Unschedule {
        /// Which.
        schedule: JobId,
    },
}

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobInfo {
    /// Its handle.
    pub job: JobId,
    /// `queued`, `running`, `paused`, `done`, `failed`, `dead`, `cancelled`; `scheduled` for a
    /// schedule.
    pub state: String,
    /// `run`, `intent`, `call` or `resume`, and of what.
    pub work: String,
    /// How often it was begun.
    pub attempt: u32,
    /// How often it may be begun.
    pub max_attempts: u32,
    /// Higher goes first.
    pub priority: i32,
    /// Unix milliseconds when it was submitted.
    pub created_at_ms: u64,
    /// Unix milliseconds when it may begin (again); of a schedule, when its next job comes.
    pub visible_at_ms: u64,
    /// Unix milliseconds when it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at_ms: Option<u64>,
    /// Done so far, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Asked>,
    /// Its result: a run's report, or a call's result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The cron line of a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
}
