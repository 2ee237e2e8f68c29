//! The queue: jobs and schedules.

use super::desk::{Asked, Desk, Given, Outcome, Part};
use super::reply::{ListQuery, body as read, job, limit, run};
use super::{mixed_up, openapi};
use crate::arguments;
use axum::Json;
use axum::response::IntoResponse;
use narrows_types::fault::clip;
use narrows_types::{Answer, CallAsk, Fault, JobOptions, JobWork, JobsAsk, What};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

const SHAPE: &str = "the body is {run: {code, ...}} or {intent: {name, input?}} or {call: {server, \
                     tool, arguments?}} or {resume: {run}}, with priority?, delay_ms?, \
                     max_attempts?, cron?";
/// The longest that a request waits for a job.
const WAIT_MS_MAX: u64 = 60_000;
const STATES: [&str; 7] = ["queued", "running", "paused", "done", "failed", "dead", "cancelled"];

/// What is to be done, and how.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    run: Option<Box<RawValue>>,
    intent: Option<Named>,
    call: Option<Called>,
    resume: Option<Resumed>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    delay_ms: u64,
    max_attempts: Option<u32>,
    cron: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    input: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Called {
    server: String,
    tool: String,
    arguments: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resumed {
    run: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    #[serde(default)]
    wait_ms: u64,
}

fn submission(body: Option<&RawValue>) -> Result<JobsAsk, Fault> {
    let Submission { run: program, intent, call, resume, priority, delay_ms, max_attempts, cron } =
        read(body, SHAPE)?;
    let work = match (program, intent, call, resume) {
        (Some(program), None, None, None) => JobWork::Run(arguments::run_alone(Some(&program))?),
        (None, Some(Named { name, input }), None, None) => JobWork::Intent { name, input },
        (None, None, Some(Called { server, tool, arguments }), None) => {
            let arguments = match arguments {
                Some(object) if object.get().starts_with('{') => object,
                Some(_) => return Err(Fault::invalid("`call.arguments` is not an object")),
                None => RawValue::from_string("{}".to_owned())
                    .map_err(|e| Fault::bug(format!("no empty object: {e}")))?,
            };
            JobWork::Call(CallAsk { server, tool, arguments })
        }
        (None, None, None, Some(resumed)) => JobWork::Resume { run: run(resumed.run) },
        _ => return Err(Fault::invalid("a job does one thing").hint(SHAPE)),
    };
    let options = JobOptions { priority, delay_ms, max_attempts, cron };
    Ok(JobsAsk::Submit { work: Box::new(work), options })
}

fn known(state: String) -> Result<String, Fault> {
    if STATES.contains(&state.as_str()) {
        return Ok(state);
    }
    let message = format!("there is no state {}", clip(state, 60));
    Err(Fault::invalid(message).hint(format!("states are {}", STATES.join(", "))))
}

#[utoipa::path(post, path = "/v1/jobs", tag = "jobs",
    request_body = openapi::JobRequest,
    responses(
        (status = 202, description = "the job, or the schedule", body = openapi::JobDetail),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Sends work to the background: a program, an intent, a call, or a run that goes on.
pub(super) async fn submit(desk: Desk, Given(body): Given) -> Outcome {
    let what = submission(body.as_deref())?;
    desk.accepted(What::Jobs(what)).await
}

#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(
        ("limit" = Option<usize>, Query, description = "at most so many, 50 if not given"),
        ("state" = Option<String>, Query, description = "only those in this state: queued, running, paused, done, failed, dead, cancelled"),
    ),
    responses(
        (status = 200, description = "jobs", body = openapi::Jobs),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Lists jobs, newest first.
pub(super) async fn list(
    desk: Desk,
    Asked(ListQuery { limit: most, state }): Asked<ListQuery>,
) -> Outcome {
    let what = JobsAsk::List { limit: limit(most), state: state.map(known).transpose()? };
    desk.answered(What::Jobs(what)).await
}

#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs",
    params(
        ("id" = String, Path, description = "the job, job_..."),
        ("wait_ms" = Option<u64>, Query, description = "waits so long for its end or its pause, at most 60000"),
    ),
    responses(
        (status = 200, description = "the job", body = openapi::JobDetail),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Shows a job; waits for its end or its pause, if asked to.
pub(super) async fn show(
    desk: Desk,
    Part(id): Part<String>,
    Asked(Wait { wait_ms }): Asked<Wait>,
) -> Outcome {
    let what = JobsAsk::Show { job: job(id), wait_ms: wait_ms.min(WAIT_MS_MAX) };
    desk.answered(What::Jobs(what)).await
}

#[utoipa::path(get, path = "/v1/jobs/{id}/logs", tag = "jobs",
    params(("id" = String, Path, description = "the job, job_...")),
    responses(
        (status = 200, description = "the log lines so far", body = openapi::Logs),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Gives the log lines of a job's run.
pub(super) async fn logs(desk: Desk, Part(id): Part<String>) -> Outcome {
    desk.answered(What::Jobs(JobsAsk::Logs { job: job(id) })).await
}

#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "the job, job_...")),
    responses(
        (status = 200, description = "the job", body = openapi::JobDetail),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Asks for the end of a job.
pub(super) async fn cancel(desk: Desk, Part(id): Part<String>) -> Outcome {
    desk.answered(What::Jobs(JobsAsk::Cancel { job: job(id) })).await
}

#[utoipa::path(post, path = "/v1/jobs/{id}/retry", tag = "jobs",
    params(("id" = String, Path, description = "the job, job_...")),
    responses(
        (status = 200, description = "the job", body = openapi::JobDetail),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Begins a job again that failed.
pub(super) async fn retry(desk: Desk, Part(id): Part<String>) -> Outcome {
    desk.answered(What::Jobs(JobsAsk::Retry { job: job(id) })).await
}

#[utoipa::path(get, path = "/v1/schedules", tag = "jobs",
    responses(
        (status = 200, description = "schedules", body = openapi::Schedules),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Lists schedules.
pub(super) async fn schedules(desk: Desk) -> Outcome {
    let asked = desk.ask(What::Jobs(JobsAsk::Schedules)).await?;
    let Answer::Jobs(schedules) = asked else { return Err(mixed_up().into()) };
    Ok(Json(json!({"schedules": schedules})).into_response())
}

#[utoipa::path(delete, path = "/v1/schedules/{id}", tag = "jobs",
    params(("id" = String, Path, description = "the schedule, cron_...")),
    responses(
        (status = 204, description = "it is gone"),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Removes a schedule; jobs that it made stay.
pub(super) async fn unschedule(desk: Desk, Part(id): Part<String>) -> Outcome {
    let what = JobsAsk::Unschedule { schedule: job(id) };
    desk.answered(What::Jobs(what)).await
}
