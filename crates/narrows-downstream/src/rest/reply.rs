//! Answers about what outlives a request, as JSON, and the words of their questions.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use narrows_types::fault::clip;
use narrows_types::{Answer, Fault, JobId, RunId, SessionId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

/// Bytes of a handle in a path.
const HANDLE_BYTES_MAX: usize = 64;
/// Entries of a list, where the request does not say how many.
const LIST_DEFAULT: usize = 50;
/// The most entries of a list.
const LIST_MAX: usize = 1_000;

/// An answer as it stands; none if it is to no question of REST.
pub(super) fn shown(answer: Answer) -> Option<Response> {
    Some(match answer {
        Answer::Run(report) => Json(report).into_response(),
        Answer::Call(result) => Json(result).into_response(),
        Answer::Job(job) => Json(job).into_response(),
        Answer::Jobs(jobs) => Json(json!({"jobs": jobs})).into_response(),
        Answer::Runs(runs) => Json(json!({"runs": runs})).into_response(),
        Answer::RunShown(run) => Json(run).into_response(),
        Answer::Replayed(replayed) => Json(replayed).into_response(),
        Answer::Logs(logs) => Json(json!({"logs": logs})).into_response(),
        Answer::Session(session) => Json(session).into_response(),
        Answer::Sessions(sessions) => Json(json!({"sessions": sessions})).into_response(),
        Answer::Intent(intent) => Json(intent).into_response(),
        Answer::Intents(intents) => Json(json!({"intents": intents})).into_response(),
        Answer::Done => StatusCode::NO_CONTENT.into_response(),
        _ => return None,
    })
}

/// The body's members; an absent body is an empty object. `shape` tells what would be right.
pub(super) fn body<T: DeserializeOwned>(
    body: Option<&RawValue>,
    shape: &'static str,
) -> Result<T, Fault> {
    let text = body.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|e| {
        let message = clip(format!("the body is not understood: {e}"), 200);
        Fault::invalid(message).hint(shape)
    })
}

/// How long a list may be.
pub(super) fn limit(given: Option<usize>) -> usize {
    given.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX)
}

pub(super) fn run(handle: String) -> RunId {
    RunId(clip(handle, HANDLE_BYTES_MAX))
}

pub(super) fn job(handle: String) -> JobId {
    JobId(clip(handle, HANDLE_BYTES_MAX))
}

pub(super) fn session(handle: String) -> SessionId {
    SessionId(clip(handle, HANDLE_BYTES_MAX))
}

/// Which entries of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    pub(super) limit: Option<usize>,
    pub(super) state: Option<String>,
}
