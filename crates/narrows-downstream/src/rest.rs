//! REST: the same asks as plain JSON over HTTP.

mod desk;
mod intents;
mod jobs;
pub(super) mod mode;
mod openapi;
mod reply;
mod runs;
mod sessions;

use crate::arguments;
use crate::fault::{FaultBody, retry_after_s, wire};
use crate::http::{Shared, Visitor};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use desk::{Asked, Desk, Given, Outcome, Part, ask};
use narrows_types::fault::clip;
use narrows_types::{
    Answer, ArtifactId, CallAsk, Fault, Kind, Origin, Principal, SearchAnswer, ServerState, What,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a probe waits for the engine.
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// Bytes of an artifact in one response, if the request does not say.
const ARTIFACT_BYTES: u64 = 32 << 20;
/// Bytes of the whole artifact.
const TOTAL: HeaderName = HeaderName::from_static("narrows-total-bytes");
/// First byte of the part that is sent.
const OFFSET: HeaderName = HeaderName::from_static("narrows-offset");
/// Stored bytes come from anywhere: a browser must neither run nor frame them.
const INERT: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/run", post(run))
        .route("/v1/runs", get(runs::list).post(runs::create))
        .route("/v1/runs/{id}", get(runs::show))
        .route("/v1/runs/{id}/resume", post(runs::resume))
        .route("/v1/runs/{id}/replay", post(runs::replay))
        .route("/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/jobs/{id}/logs", get(jobs::logs))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{id}/retry", post(jobs::retry))
        .route("/v1/schedules", get(jobs::schedules))
        .route("/v1/schedules/{id}", delete(jobs::unschedule))
        .route("/v1/sessions", get(sessions::list).post(sessions::create))
        .route("/v1/sessions/{id}", get(sessions::show).delete(sessions::delete))
        .route("/v1/intents", get(intents::list).post(intents::save))
        .route("/v1/intents/{name}", get(intents::show).post(intents::call).delete(intents::delete))
        .route("/v1/intents/{name}/rollback", post(intents::rollback))
        .route("/v1/intents/{name}/test", post(intents::test))
        .route("/v1/search", post(search))
        .route("/v1/tools", get(tools))
        .route("/v1/tools/{server}/{tool}", post(call))
        .route("/v1/servers", get(servers))
        .route("/v1/mode", get(mode::show).put(mode::switch))
        .route("/v1/artifacts/{id}", get(artifact))
        .route("/health", get(health))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/openapi.json", get(document))
}

/// A fault as a response: `{"error": {...}}`, its status from the table.
pub(crate) fn problem(fault: &Fault) -> Response {
    let status =
        StatusCode::from_u16(wire(fault.kind).status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"error": FaultBody::from(fault)});
    let mut response = (status, Json(body)).into_response();
    if let Some(seconds) = retry_after_s(fault) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(crate) async fn no_such_path(uri: Uri) -> Response {
    let path = clip(uri.path().to_owned(), 100);
    problem(&Fault::not_found(format!("no such path {path}")).hint("see /openapi.json"))
}

pub(crate) async fn no_such_method(uri: Uri) -> Response {
    let path = clip(uri.path().to_owned(), 100);
    let fault = Fault::invalid(format!("{path} does not take this method"));
    let mut response = problem(&fault.hint("see the Allow header"));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

fn mixed_up() -> Fault {
    Fault::bug("the engine gave an answer to another question")
}

#[utoipa::path(post, path = "/v1/run", tag = "programs", request_body = openapi::RunRequest,
    responses(
        (status = 200, description = "the program ended, however it ended", body = openapi::RunReply),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Executes one program.
async fn run(desk: Desk, Given(body): Given) -> Outcome {
    desk.accepted(arguments::run(body.as_deref())?).await
}

#[utoipa::path(post, path = "/v1/search", tag = "programs", request_body = openapi::SearchRequest,
    responses(
        (status = 200, description = "tools that fit, best first", body = openapi::SearchReply),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Finds tools.
async fn search(desk: Desk, Given(body): Given) -> Outcome {
    #[derive(Serialize)]
    struct Found<'a> {
        #[serde(flatten)]
        answer: &'a SearchAnswer,
        text: &'a str,
    }
    match desk.ask(arguments::search(body.as_deref())?).await? {
        Answer::Search(answer) => {
            Ok(Json(Found { text: &answer.text, answer: &answer }).into_response())
        }
        other => Ok(reply::shown(other).ok_or_else(mixed_up)?),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolsQuery {
    server: Option<String>,
}

#[utoipa::path(get, path = "/v1/tools", tag = "tools",
    params(("server" = Option<String>, Query, description = "only this server")),
    responses(
        (status = 200, description = "every tool, by server", body = openapi::Servers),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Lists tools.
async fn tools(desk: Desk, Asked(ToolsQuery { server }): Asked<ToolsQuery>) -> Outcome {
    match desk.ask(What::Tools { server }).await? {
        Answer::Tools(servers) => Ok(Json(json!({"servers": servers})).into_response()),
        _ => Err(mixed_up().into()),
    }
}

#[utoipa::path(post, path = "/v1/tools/{server}/{tool}", tag = "tools",
    params(
        ("server" = String, Path, description = "the server's name"),
        ("tool" = String, Path, description = "the tool's name"),
    ),
    request_body(content = serde_json::Value, description = "an object of arguments"),
    responses(
        (status = 200, description = "the tool answered", body = openapi::ToolReply),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Calls one tool.
async fn call(
    desk: Desk,
    Part((server, tool)): Part<(String, String)>,
    Given(body): Given,
) -> Outcome {
    let arguments = match body {
        None => RawValue::from_string("{}".to_owned())
            .map_err(|e| Fault::bug(format!("no empty object: {e}")))?,
        Some(object) if object.get().starts_with('{') => object,
        Some(_) => return Err(Fault::invalid("the body is not an object of arguments").into()),
    };
    match desk.ask(What::Call(CallAsk { server, tool, arguments })).await? {
        Answer::Call(result) => Ok(Json(result).into_response()),
        _ => Err(mixed_up().into()),
    }
}

#[utoipa::path(get, path = "/v1/servers", tag = "tools",
    responses(
        (status = 200, description = "the state of every server", body = openapi::Servers),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Tells the state of every server.
async fn servers(desk: Desk) -> Outcome {
    match desk.ask(What::Servers).await? {
        Answer::Servers(servers) => Ok(Json(json!({"servers": servers})).into_response()),
        _ => Err(mixed_up().into()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArtifactQuery {
    #[serde(default)]
    offset: u64,
    bytes: Option<u64>,
}

#[utoipa::path(get, path = "/v1/artifacts/{id}", tag = "programs",
    params(
        ("id" = String, Path, description = "the handle, art_..."),
        ("offset" = Option<u64>, Query, description = "first byte, 0 if not given"),
        ("bytes" = Option<u64>, Query, description = "at most so many bytes"),
    ),
    responses(
        (status = 200, description = "the bytes, with their own media type; narrows-total-bytes is the size of the whole"),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Reads a kept result.
async fn artifact(
    desk: Desk,
    Part(id): Part<String>,
    Asked(ArtifactQuery { offset, bytes }): Asked<ArtifactQuery>,
) -> Outcome {
    let bytes = bytes.unwrap_or(ARTIFACT_BYTES).min(ARTIFACT_BYTES);
    let handle = ArtifactId(clip(id, 64));
    let Answer::Artifact(part) = desk.ask(What::Artifact { handle, offset, bytes }).await? else {
        return Err(mixed_up().into());
    };
    let mime = HeaderValue::from_str(&part.mime)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (header::CONTENT_TYPE, mime),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        (header::CONTENT_SECURITY_POLICY, INERT),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
        (TOTAL, HeaderValue::from(part.total_bytes)),
        (OFFSET, HeaderValue::from(part.offset)),
    ];
    Ok((headers, part.bytes).into_response())
}

/// What the engine says of its upstreams, soon or not at all.
async fn probe(shared: &Shared) -> Result<BTreeMap<String, usize>, Fault> {
    // A probe is nobody's and tells states only.
    let asked = ask(shared, Visitor(Principal::local()), What::Servers);
    match tokio::time::timeout(PROBE_WAIT, asked).await {
        Ok(Ok(Answer::Servers(servers))) => {
            let mut states = BTreeMap::new();
            for server in servers {
                *states.entry(state_name(server.state).to_owned()).or_default() += 1;
            }
            Ok(states)
        }
        Ok(Ok(_)) => Err(mixed_up()),
        Ok(Err(fault)) => Err(fault),
        Err(_elapsed) => {
            let message = format!("the engine did not answer within {} s", PROBE_WAIT.as_secs());
            Err(Fault::new(Kind::Unavailable, Origin::Narrows, message))
        }
    }
}

fn state_name(state: ServerState) -> &'static str {
    match state {
        ServerState::Cached => "cached",
        ServerState::Idle => "idle",
        ServerState::Starting => "starting",
        ServerState::Ready => "ready",
        ServerState::Failed => "failed",
        ServerState::Disabled => "disabled",
    }
}

#[utoipa::path(get, path = "/health", tag = "operation",
    responses(
        (status = 200, description = "it works; how many servers are in which state, how often each kind of audit record was written, and which walls stand around programs"),
        (status = 503, description = "it does not"),
    ))]
/// Tells whether it works, with some detail.
async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let version = &shared.front.config.server_version;
    let (status, body) = match probe(&shared).await {
        Ok(states) => {
            let source = &shared.front.source;
            let (audit, walls) = (source.audited(), source.walls());
            let body = json!({
                "status": "ok", "version": version, "servers": states, "audit": audit, "walls": walls,
            });
            (StatusCode::OK, body)
        }
        Err(fault) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "failing", "version": version, "error": FaultBody::from(&fault)}),
        ),
    };
    (status, Json(body)).into_response()
}

#[utoipa::path(get, path = "/livez", tag = "operation",
    responses((status = 200, description = "the process answers")))]
/// Tells that the process answers.
async fn live() -> &'static str {
    "ok\n"
}

#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses(
        (status = 200, description = "requests can be sent"),
        (status = 503, description = "not now"),
    ))]
/// Tells whether requests can be sent.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    match probe(&shared).await {
        Ok(_) => "ok\n".into_response(),
        Err(_fault) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}

#[utoipa::path(get, path = "/openapi.json", tag = "operation",
    responses((status = 200, description = "this document")))]
/// Gives this document.
async fn document(State(shared): State<Arc<Shared>>) -> Response {
    Json(openapi::document(&shared.front.config.server_version)).into_response()
}
