//! The mode: what agents see of whom nothing else is said, and its change at run time.

use super::desk::{Desk, Given, Outcome};
use super::openapi;
use crate::http::{Shared, Visitor};
use crate::mcp::Shown;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
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
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Outcome {
    let entry = shared.front.entry(Shown::Streams, None, None)?;
    Ok(Json(json!({"mode": entry.mode})).into_response())
}

#[utoipa::path(put, path = "/v1/mode", tag = "operation", request_body = openapi::ModeBody,
    responses(
        (status = 200, description = "the mode from now on", body = openapi::ModeBody),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Switches the mode of all agents of whom nothing else is said.
pub(super) async fn switch(desk: Desk, Given(body): Given) -> Outcome {
    #[derive(Deserialize)]
    struct Wanted {
        mode: Mode,
    }
    let wanted = body.and_then(|body| serde_json::from_str::<Wanted>(body.get()).ok());
    let Some(Wanted { mode }) = wanted else {
        return Err(Fault::invalid("the body must be {\"mode\": \"code|hybrid|mcp\"}").into());
    };
    let Visitor(principal) = &desk.visitor;
    if *principal != Principal::local() {
        let message = "only the user who started narrows may switch the mode";
        return Err(Fault::new(Kind::Forbidden, Origin::Agent, message).into());
    }
    desk.shared.front.source.switch_mode(mode)?;
    Ok(Json(json!({"mode": mode})).into_response())
}
