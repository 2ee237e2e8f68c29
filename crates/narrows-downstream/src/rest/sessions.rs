//! Sessions: made, listed, shown, ended.

use super::desk::{Desk, Given, Outcome, Part};
use super::openapi;
use super::reply::{body as read, session};
use narrows_types::{Budget, SessionsAsk, What};
use serde::Deserialize;

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
pub(super) async fn create(desk: Desk, Given(body): Given) -> Outcome {
    let Wanted { idle_s, life_s, budget } = read(
        body.as_deref(),
        "the body is {idle_s?, life_s?, budget?: {calls?, ms?, bytes?, tokens?}}",
    )?;
    let what = SessionsAsk::Create { idle_s, life_s, budget };
    desk.created(What::Sessions(what)).await
}

#[utoipa::path(get, path = "/v1/sessions", tag = "sessions",
    responses(
        (status = 200, description = "the sessions of whoever asks", body = openapi::Sessions),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Lists sessions.
pub(super) async fn list(desk: Desk) -> Outcome {
    desk.answered(What::Sessions(SessionsAsk::List)).await
}

#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "the session, ses_...")),
    responses(
        (status = 200, description = "the session", body = openapi::SessionDetail),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Shows a session.
pub(super) async fn show(desk: Desk, Part(id): Part<String>) -> Outcome {
    desk.answered(What::Sessions(SessionsAsk::Show { session: session(id) })).await
}

#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "the session, ses_...")),
    responses(
        (status = 204, description = "it is gone"),
        (status = "default", description = "the request failed", body = openapi::Problem),
    ))]
/// Ends a session; its values go, its runs stay.
pub(super) async fn delete(desk: Desk, Part(id): Part<String>) -> Outcome {
    desk.answered(What::Sessions(SessionsAsk::Delete { session: session(id) })).await
}
