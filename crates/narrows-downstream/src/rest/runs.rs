//! Runs: executed, listed, shown, resumed, replayed.

use super::desk::{Asked, Desk, Given, Outcome, Part};
use super::openapi;
use super::reply::{ListQuery, body as read, limit, run};
use crate::arguments;
use narrows_types::fault::clip;
use narrows_types::{Fault, RunState, RunsAsk, What};
use serde::Deserialize;

/// Another program than the run's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    code: Option<String>,
}

fn state_of(name: &str) -> Result<RunState, Fault> {
    RunState::parse(name).ok_or_else(|| {
        let message = format!("there is no state {}", clip(name.to_owned(), 60));
        Fault::invalid(message).hint(
            "states are running, paused, returned, threw, rejected, limit, deadlock, lost, diverged, cancelled",
        )
    })
}

#[utoipa::path(post, path = "/v1/runs", tag = "runs",
    request_body = openapi::RunRequest,
    responses(
        (status = 200, description = "the program ended, however it ended; 202 with a job where it went to the background", body = openapi::RunReply),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Executes one program, or sends it to the background; `/v1/run` does the same.
pub(super) async fn create(desk: Desk, Given(body): Given) -> Outcome {
    desk.accepted(arguments::run(body.as_deref())?).await
}

#[utoipa::path(get, path = "/v1/runs", tag = "runs",
    params(
        ("limit" = Option<usize>, Query, description = "at most so many, 50 if not given"),
        ("state" = Option<String>, Query, description = "only those in this state: running, paused, returned, threw, rejected, limit, deadlock, lost, diverged, cancelled"),
    ),
    responses(
        (status = 200, description = "runs at a glance", body = openapi::Runs),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Lists runs, newest first.
pub(super) async fn list(
    desk: Desk,
    Asked(ListQuery { limit: most, state }): Asked<ListQuery>,
) -> Outcome {
    let state = state.as_deref().map(state_of).transpose()?;
    let what = RunsAsk::List { limit: limit(most), state };
    desk.answered(What::Runs(what)).await
}

#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs",
    params(("id" = String, Path, description = "the run, run_...")),
    responses(
        (status = 200, description = "the run: its program, its calls with times and sizes, its logs", body = openapi::RunDetail),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Shows a run with its journal.
pub(super) async fn show(desk: Desk, Part(id): Part<String>) -> Outcome {
    desk.answered(What::Runs(RunsAsk::Show { run: run(id) })).await
}

#[utoipa::path(post, path = "/v1/runs/{id}/resume", tag = "runs",
    params(("id" = String, Path, description = "the run, run_...")),
    request_body = openapi::ResumeRequest,
    responses(
        (status = 200, description = "the program ended, however it ended; 202 with a job where it goes on in the background", body = openapi::RunReply),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Lets a run go on that was paused or interrupted.
pub(super) async fn resume(desk: Desk, Part(id): Part<String>, Given(body): Given) -> Outcome {
    desk.accepted(arguments::resume_body(body.as_deref(), run(id))?).await
}

#[utoipa::path(post, path = "/v1/runs/{id}/replay", tag = "runs",
    params(("id" = String, Path, description = "the run, run_...")),
    request_body = openapi::ReplayRequest,
    responses(
        (status = 200, description = "how the replay ended and what differs", body = openapi::Replay),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Executes a program against the journal of a run; no server is asked.
pub(super) async fn replay(desk: Desk, Part(id): Part<String>, Given(body): Given) -> Outcome {
    let Program { code } = read(body.as_deref(), "the body is {code?}")?;
    desk.answered(What::Runs(RunsAsk::Replay { run: run(id), code })).await
}
