//! Jobs of ours as tasks on the wire: the extension `io.modelcontextprotocol/tasks` of the modern
//! era and the form of 2025-11-25.
//!
//! A task is a job of the store: nothing of it is held here, so that any replica tells of it.

use crate::mcp::{Body, elicitation};
use crate::render::{Seal, kept};
use crate::wire::{self, Failure};
use narrows_types::{Fault, JobInfo};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The extension's name.
pub(crate) const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// The key under which a result of 2025-11-25 names its task.
const RELATED: &str = "io.modelcontextprotocol/related-task";
/// By this, and its length, a task is known to be ours and not an upstream's.
const PREFIX: &str = "job_";
/// Characters behind it.
const CHARS: usize = 20;
/// How often a client may look.
const POLL_MS: u64 = 1_000;

/// Whether a task of this name could only be ours.
pub(crate) fn knows(id: &str) -> bool {
    let rest = id.strip_prefix(PREFIX);
    rest.is_some_and(|r| r.len() == CHARS && r.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The same words whether there is none or it is somebody else's.
pub(crate) fn unknown(id: &str) -> Failure {
    Failure::params(format!("there is no task {}", wire::clipped(id)))
}

/// Where a task is in its life, as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    pub(crate) fn of(job: &JobInfo) -> Self {
        match job.state.as_str() {
            "paused" => Self::InputRequired,
            "done" => Self::Completed,
            "failed" | "dead" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => Self::Working,
        }
    }

    /// Whether nothing comes after it.
    pub(crate) fn is_last(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A task as it stands on the wire of the modern era.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'a str>,
    task_id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    created_at: String,
    last_updated_at: String,
    /// It is kept as long as the store keeps jobs, which is not told here.
    ttl_ms: Option<u64>,
    poll_interval_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_requests: Option<BTreeMap<&'a str, InputRequest>>,
}

/// One question within a task.
#[derive(Serialize)]
struct InputRequest {
    method: &'static str,
    params: Body,
}

/// The same in the form of 2025-11-25.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LegacyShown<'a> {
    task_id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    created_at: String,
    last_updated_at: String,
    ttl: Option<u64>,
    poll_interval: u64,
}

/// A job as a task of the modern era. `kind` is the result's type; none within a notification.
pub(crate) fn modern(
    job: &JobInfo,
    kind: Option<&str>,
    can_be_asked: bool,
    seal: Seal<'_>,
) -> Result<Body, Failure> {
    let status = Status::of(job);
    let internal = |fault: Fault| Failure::internal(&fault);
    let created = kind == Some("task");
    let result = match &job.result {
        Some(stored) if status == Status::Completed && !created => {
            Some(kept::result(stored, seal).map_err(internal)?)
        }
        _ => None,
    };
    let asks = status == Status::InputRequired && can_be_asked && !created;
    let requests = job.questions.iter().map(|asked| {
        let request = InputRequest { method: "elicitation/create", params: elicitation(asked) };
        (asked.id.as_str(), request)
    });
    encoded(&Shown {
        result_type: kind,
        task_id: job.job.as_str(),
        status,
        status_message: message(job, status, can_be_asked),
        created_at: moment(job.created_at_ms),
        last_updated_at: moment(updated_ms(job)),
        ttl_ms: None,
        poll_interval_ms: POLL_MS,
        result,
        error: (status == Status::Failed && !created).then(|| wire::error(&failure(job))),
        input_requests: asks.then(|| requests.collect()),
    })
}

fn legacy_shown(job: &JobInfo) -> LegacyShown<'_> {
    let status = Status::of(job);
    LegacyShown {
        task_id: job.job.as_str(),
        status,
        status_message: message(job, status, false),
        created_at: moment(job.created_at_ms),
        last_updated_at: moment(updated_ms(job)),
        ttl: None,
        poll_interval: POLL_MS,
    }
}

/// A job as a task of 2025-11-25.
pub(crate) fn legacy(job: &JobInfo) -> Result<Body, Failure> {
    encoded(&legacy_shown(job))
}

/// A job that a call of 2025-11-25 became.
pub(crate) fn legacy_created(job: &JobInfo) -> Result<Body, Failure> {
    #[derive(Serialize)]
    struct Created<'a> {
        task: LegacyShown<'a>,
    }
    encoded(&Created { task: legacy_shown(job) })
}

/// Jobs as the tasks of 2025-11-25, on one page.
pub(crate) fn legacy_list(jobs: &[JobInfo]) -> Result<Body, Failure> {
    #[derive(Serialize)]
    struct Listed<'a> {
        tasks: Vec<LegacyShown<'a>>,
    }
    encoded(&Listed { tasks: jobs.iter().map(legacy_shown).collect() })
}

/// The result of a task of 2025-11-25: what its call would have given.
pub(crate) fn legacy_result(job: &JobInfo, seal: Seal<'_>) -> Result<Body, Failure> {
    let lost = || Failure::internal(&Fault::bug("a job that is done has no result"));
    let stored = job.result.as_ref().ok_or_else(lost)?;
    let result = kept::result(stored, seal).map_err(|fault| Failure::internal(&fault))?;
    let id = narrows_types::raw::quoted(job.job.as_str());
    let meta = format!(r#"{{"{RELATED}":{{"taskId":{id}}}}}"#);
    let edits = [narrows_types::raw::Edit::Set("_meta", &meta)];
    let marked = narrows_types::raw::edit(result.get(), &edits).ok();
    let marked = marked.and_then(|text| RawValue::from_string(text.into_owned()).ok());
    Ok(marked.unwrap_or(result))
}

/// Why a job has no result.
pub(crate) fn failure(job: &JobInfo) -> Failure {
    let why = if job.error.is_empty() { "the job failed" } else { &job.error };
    let message = narrows_types::fault::clip(why.to_owned(), 2_000);
    Failure { code: narrows_protocol::code::INTERNAL_ERROR, ..Failure::params(message) }
}

fn message(job: &JobInfo, status: Status, can_be_asked: bool) -> Option<String> {
    let text = match status {
        Status::Failed => job.error.clone(),
        Status::Working => kept::progress(job).trim_start_matches(", ").to_owned(),
        // Whoever cannot be asked reads how it goes on.
        Status::InputRequired if !can_be_asked => kept::job_text(job),
        _ => String::new(),
    };
    Some(narrows_types::fault::clip(text, 1_000)).filter(|text| !text.is_empty())
}

fn updated_ms(job: &JobInfo) -> u64 {
    job.finished_at_ms.unwrap_or_default().max(job.created_at_ms)
}

fn moment(unix_ms: u64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

fn encoded(value: &impl Serialize) -> Result<Body, Failure> {
    to_raw_value(value).map_err(|e| Failure::internal(&Fault::bug(e.to_string())))
}
