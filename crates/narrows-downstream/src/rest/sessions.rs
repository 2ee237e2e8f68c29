//! Sessions: made, listed, shown, ended.

use super::reply::{answered, body as read, created, session};
use super::{json_body, openapi, parts, settled};
use crate::http::{Shared, Visitor};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use narrows_types::{Budget, SessionsAsk, What};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    idle_s: Option<u64>,
    life_s: Option<u64>,
    budget: Option<Budget>,
}

#[utoipa::path(post, path = "/v1/sessions", tag = "sessions",
    request_body = openapi::SessionRequest,
    responses(
        (status = 201, description = "the session", body = openapi::SessionDetail),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Makes a session.
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = match json_body(&shared, &headers, body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let outcome = async {
        let Wanted { idle_s, life_s, budget } = read(
            body.as_deref(),
            "the body is {idle_s?, life_s?, budget?: {calls?, ms?, bytes?, tokens?}}",
        )?;
        let what = SessionsAsk::Create { idle_s, life_s, budget };
        created(&shared, visitor, What::Sessions(what)).await
    };
    settled(outcome.await)
}

#[utoipa::path(get, path = "/v1/sessions", tag = "sessions",
    responses(
        (status = 200, description = "the sessions of whoever asks", body = openapi::Sessions),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Lists sessions.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    let outcome = async { answered(&shared, visitor, What::Sessions(SessionsAsk::List)).await };
    settled(outcome.await)
}

#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "the session, ses_...")),
    responses(
        (status = 200, description = "the session", body = openapi::SessionDetail),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Shows a session.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = async {
        let id = parts(path)?;
        answered(&shared, visitor, What::Sessions(SessionsAsk::Show { session: session(id) })).await
    };
    settled(outcome.await)
}

#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "the session, ses_...")),
    responses(
        (status = 204, description = "it is gone"),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Ends a session; its values go, its runs stay.
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let outcome = async {
        let id = parts(path)?;
        answered(&shared, visitor, What::Sessions(SessionsAsk::Delete { session: session(id) }))
            .await
    };
    settled(outcome.await)
}
