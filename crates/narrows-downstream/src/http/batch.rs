//! Batches: several messages in one body, which only revision 2025-03-26 (and before) has.

use super::Shared;
use crate::caller::Caller;
use crate::mcp::{Params, Plan, Said};
use crate::wire::{self, Failure};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use narrows_protocol::{Id, Message};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Takes every message of a session's batch side by side and answers the requests together, in
/// their order. Progress is not reported.
pub(super) async fn take(
    shared: &Arc<Shared>,
    session: &str,
    caller: &Caller,
    messages: &[&RawValue],
) -> Response {
    let answers = join_all(messages.iter().map(|m| one(shared, session, caller, m))).await;
    let answers: Vec<String> = answers.into_iter().flatten().collect();
    if answers.is_empty() {
        return StatusCode::ACCEPTED.into_response();
    }
    super::delivery::json(200, format!("[{}]", answers.join(",")))
}

async fn one(
    shared: &Arc<Shared>,
    session: &str,
    caller: &Caller,
    message: &RawValue,
) -> Option<String> {
    match wire::parse(message.get().as_bytes()) {
        Ok(Message::Request { id, method, params }) => {
            let answered = request(shared, session, caller, (&id, &method, params)).await;
            match answered {
                Ok(body) => body.map(|body| wire::response(&id, &body)),
                Err(failure) => Some(wire::failed(Some(&id), &failure)),
            }
        }
        Ok(Message::Notification { method, params }) => {
            shared.sessions.notified(session, &method, params);
            None
        }
        Ok(Message::Response { id, outcome }) => {
            if let Some(conversation) = &caller.conversation {
                conversation.answered(&id, outcome);
            }
            None
        }
        Err(bad) => Some(wire::failed(bad.0.as_ref(), &bad.1)),
    }
}

/// The result; `None` if it was cancelled.
async fn request(
    shared: &Arc<Shared>,
    session: &str,
    caller: &Caller,
    (id, method, params): (&Id, &str, Option<&RawValue>),
) -> Result<Option<Box<RawValue>>, Failure> {
    if method == "initialize" {
        return Err(Failure::request("initialize must not be part of a batch".to_owned()));
    }
    let looked_at = Params::read(params)?;
    let plan = match shared.front.plan(caller, method, &looked_at, params)? {
        Plan::Ready(body) => return Ok(Some(body)),
        plan => plan,
    };
    let ticket = shared.sessions.begin(session, id)?;
    let mut exchange = shared.front.start(caller, id, plan);
    exchange.mute();
    let answered = async {
        loop {
            // There is no stream to say anything else on.
            if let Said::Last(outcome) = exchange.next().await {
                return outcome;
            }
        }
    };
    ticket.cancel.run_until_cancelled(answered).await.transpose()
}
