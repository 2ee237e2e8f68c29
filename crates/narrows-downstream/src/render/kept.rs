//! What outlives a request, as results of our tools.

use super::{Seal, ToolReply};
use narrows_engine::render_paused;
use narrows_types::raw::{self, Edit};
use narrows_types::{Content, Fault, JobInfo, RunId, RunState, RunView};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// Members of a report that are for its text, or too long for a model.
const LEFT_OUT: [Edit<'static>; 4] =
    [Edit::Remove("text"), Edit::Remove("shown"), Edit::Remove("calls"), Edit::Remove("usage")];

/// A job at a glance.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobBrief<'a> {
    job: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    questions: &'a [narrows_types::Asked],
}

/// The result of a job that is done: the report of its run, as `run` would have given it.
pub(crate) fn result(stored: &RawValue, seal: Seal<'_>) -> Result<Box<RawValue>, Fault> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Reply<'a> {
        content: Vec<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        structured_content: Option<&'a RawValue>,
        is_error: bool,
    }
    let broken = |e: serde_json::Error| Fault::bug(format!("a kept report is broken: {e}"));
    let report = stored.get();
    let text = raw::get_text(report, "text").unwrap_or_else(|| report.into());
    let text = to_raw_value(&Content::text(text)).map_err(broken)?;
    let shown = raw::get(report, "shown").unwrap_or("[]");
    let shown: Vec<&RawValue> = serde_json::from_str(shown).map_err(broken)?;
    let brief = raw::edit(report, &LEFT_OUT).unwrap_or_else(|_no_object| "{}".into());
    let brief = RawValue::from_string(brief.into_owned()).map_err(broken)?;
    let end = raw::get_text(report, "end");
    let is_error = end.is_some_and(|end| end != "returned");
    let content = std::iter::once(&*text).chain(shown).collect();
    let structured_content = seal.structured.then_some(&*brief);
    seal.close(Reply { content, structured_content, is_error })
}

/// How a job is, for a model: its result where it is done.
pub(crate) fn job(job: &JobInfo, seal: Seal<'_>) -> Result<Box<RawValue>, Fault> {
    if let Some(stored) = &job.result {
        return result(stored, seal);
    }
    let is_error = matches!(job.state.as_str(), "failed" | "dead" | "cancelled");
    let text = Content::text(job_text(job));
    let brief = JobBrief {
        job: job.job.as_str(),
        state: &job.state,
        run: job.run.as_ref().map(RunId::as_str),
        fraction: job.fraction,
        error: &job.error,
        questions: &job.questions,
    };
    let structured_content = seal.structured.then_some(brief);
    seal.close(ToolReply { content: vec![&text], structured_content, is_error })
}

/// A job that has no result, in words.
pub(crate) fn job_text(job: &JobInfo) -> String {
    let id = &job.job;
    match (job.state.as_str(), &job.run) {
        ("paused", Some(run)) => format!("{id} {}", render_paused(run, &job.questions)),
        ("failed" | "dead", _) => format!("{id} failed: {}", job.error),
        (state @ ("cancelled" | "scheduled"), _) => format!("{id} is {state}"),
        (state, _) => {
            let progress = progress(job);
            format!("{id} is {state}{progress}\nsearch({{\"query\": \"{id}\"}}) tells how it is")
        }
    }
}

/// How far a job is; empty if nobody told.
pub(crate) fn progress(job: &JobInfo) -> String {
    let percent = job.fraction.map(|fraction| format!("{:.0} %", fraction * 100.0));
    let message = Some(job.message.clone()).filter(|message| !message.is_empty());
    let parts: Vec<String> = percent.into_iter().chain(message).collect();
    if parts.is_empty() { String::new() } else { format!(", {}", parts.join(" ")) }
}

/// How a run is, for a model.
pub(crate) fn run(view: &RunView, seal: Seal<'_>) -> Result<Box<RawValue>, Fault> {
    let info = &view.info;
    let (run, state, calls) = (&info.run, info.state.name(), info.calls);
    let text = match (info.state, &info.job) {
        (RunState::Paused, _) => render_paused(run, &info.questions),
        (_, Some(job)) => format!(
            "{run} is {state}, {calls} calls\nsearch({{\"query\": \"{job}\"}}) tells how its job is"
        ),
        (RunState::Running, None) => format!(
            "{run} is running, {calls} calls; if nobody waits for it any more, run({{\"resume\": \
             \"{run}\"}}) goes on from its journal"
        ),
        (_, None) => format!("{run} is over: {state}, {calls} calls"),
    };
    let text = Content::text(text);
    let structured_content = seal.structured.then_some(info);
    seal.close(ToolReply { content: vec![&text], structured_content, is_error: false })
}
