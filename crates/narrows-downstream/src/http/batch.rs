//! Batches: several messages in one body, which only revision 2025-03-26 (and before) has.

use super::Shared;
use crate::mcp::{Plan, Rules};
use crate::wire::{self, Failure};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use narrows_protocol::{Id, Message, Revision};
use narrows_types::Principal;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Takes every message of a session's batch side by side and answers the requests together, in
/// their order. Progress is not reported.
pub(super) async fn take(
    shared: &Arc<Shared>,
    session: &str,
    revision: Revision,
    messages: &[&RawValue],
) -> Response {
    let answers = join_all(messages.iter().map(|m| one(shared, session, revision, m))).await;
    let answers: Vec<String> = answers.into_iter().flatten().collect();
    if answers.is_empty() {
        return StatusCode::ACCEPTED.into_response();
    }
    super::delivery::json(200, format!("[{}]", answers.join(",")))
}

async fn one(
    shared: &Arc<Shared>,
    session: &str,
    revision: Revision,
    message: &RawValue,
) -> Option<String> {
    match wire::parse(message.get().as_bytes()) {
        Ok(Message::Request { id, method, params }) => {
            let answered = request(shared, session, revision, (&id, &method, params)).await;
            match answered {
                Ok(body) => body.map(|body| wire::response(&id, &body)),
                Err(failure) => Some(wire::failed(Some(&id), &failure)),
            }
        }
        Ok(Message::Notification { method, params }) => {
            shared.sessions.notified(session, &method, params);
            None
        }
        Ok(Message::Response { .. }) => None,
        Err(bad) => Some(wire::failed(bad.0.as_ref(), &bad.1)),
    }
}

/// The result; `None` if it was cancelled.
async fn request(
    shared: &Arc<Shared>,
    session: &str,
    revision: Revision,
    (id, method, params): (&Id, &str, Option<&RawValue>),
) -> Result<Option<Box<RawValue>>, Failure> {
    if method == "initialize" {
        return Err(Failure::request("initialize must not be part of a batch".to_owned()));
    }
    let rules = Rules::Legacy(revision);
    match shared.front.plan(rules, method, params)? {
        Plan::Ready(body) => Ok(Some(body)),
        Plan::Ask(pending) => {
            let ticket = shared.sessions.begin(session, id)?;
            let asked = shared.front.perform(*pending, rules, Principal::local(), drop);
            ticket.cancel.run_until_cancelled(asked).await.transpose()
        }
    }
}
