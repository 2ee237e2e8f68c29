//! The mode: what agents see of whom nothing else is said, and its change at run time.

use super::{json_body, openapi, problem, settled};
use crate::http::{Shared, Visitor};
use crate::mcp::Shown;
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use narrows_types::{Fault, Kind, Mode, Origin, Principal};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

#[utoipa::path(get, path = "/v1/mode", tag = "operation",
    responses(
        (status = 200, description = "the mode now", body = openapi::ModeBody),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Tells the mode.
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Response {
    let entry = shared.front.entry(Shown::Streams, None, None);
    settled(entry.map(|entry| Json(json!({"mode": entry.mode})).into_response()))
}

#[utoipa::path(put, path = "/v1/mode", tag = "operation", request_body = openapi::ModeBody,
    responses(
        (status = 200, description = "the mode from now on", body = openapi::ModeBody),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Switches the mode of all agents of whom nothing else is said.
pub(super) async fn switch(
    State(shared): State<Arc<Shared>>,
    Extension(Visitor(principal)): Extension<Visitor>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    #[derive(Deserialize)]
    struct Wanted {
        mode: Mode,
    }
    let body = match json_body(&shared, &headers, body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let wanted = body.and_then(|body| serde_json::from_str::<Wanted>(body.get()).ok());
    let Some(Wanted { mode }) = wanted else {
        return problem(&Fault::invalid("the body must be {\"mode\": \"code|hybrid|mcp\"}"));
    };
    if principal != Principal::local() {
        let message = "only the user who started narrows may switch the mode";
        return problem(&Fault::new(Kind::Forbidden, Origin::Agent, message));
    }
    let switched = shared.front.source.switch_mode(mode);
    settled(switched.map(|()| Json(json!({"mode": mode})).into_response()))
}
