//! `/mcp`: Streamable HTTP in both eras.
//!
//! A request that carries the modern `_meta` stands alone. `initialize` opens a legacy session,
//! named by `Mcp-Session-Id` from then on; only such a session has GET (a silent stream, since the
//! server never speaks first) and DELETE (its end).

use super::batch;
use super::delivery::{self, Accepts};
use super::sessions::{Ticket, gone};
use super::{Closing, Shared};
use crate::mcp::{Pending, Plan, Rules, negotiate};
use crate::wire::{self, Failure, Request};
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use narrows_protocol::{Id, Message, Revision, header as names};
use narrows_types::Principal;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Notifications of one request that wait for the connection; further ones are dropped.
const NOTIFICATIONS_MAX: usize = 64;
/// The header that names a legacy session.
const SESSION: HeaderName = HeaderName::from_static(names::SESSION);
const ALLOW_POST: (HeaderName, HeaderValue) = (header::ALLOW, HeaderValue::from_static("POST"));

/// Takes one message (or a batch, in the one revision that has them).
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let over = closing.map(|Extension(closing)| closing.over).unwrap_or_default();
    match take(&shared, &headers, &over, body).await {
        Ok(response) => response,
        Err((id, failure)) => refuse(id.as_ref(), &failure),
    }
}

type Refusal = (Option<Id>, Failure);

fn anonymous(failure: Failure) -> Refusal {
    (None, failure)
}

fn refuse(id: Option<&Id>, failure: &Failure) -> Response {
    delivery::json(failure.status, wire::failed(id, failure))
}

async fn take(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    over: &CancellationToken,
    body: Body,
) -> Result<Response, Refusal> {
    is_json(headers).map_err(anonymous)?;
    let accepts = Accepts::read(headers).ok_or_else(|| {
        let message = "Accept must name application/json, text/event-stream or both";
        anonymous(Failure { status: 406, ..Failure::request(message.to_owned()) })
    })?;
    let limit = shared.front.config.body_bytes_max;
    let body = shared.bodies.read(body, limit).await.map_err(anonymous)?;
    let bytes = &body.bytes;
    if let Some((session, revision)) = batching(shared, headers).map_err(anonymous)?
        && let Some(messages) = wire::batch(bytes)
    {
        let messages = messages.map_err(anonymous)?;
        let answers = over.run_until_cancelled(batch::take(shared, session, revision, &messages));
        return answers.await.ok_or_else(|| anonymous(Failure::ending()));
    }
    match wire::parse(bytes).map_err(|bad| *bad)? {
        Message::Request { id, method, params } => {
            let request = Request { id, method, params };
            let answered = answer(shared, headers, &Way { accepts, over }, &request).await;
            answered.map_err(|failure| (Some(request.id), failure))
        }
        Message::Notification { method, params } => {
            if let Some(session) = session(headers).map_err(anonymous)? {
                shared.sessions.visit(session).ok_or_else(|| anonymous(gone()))?;
                shared.sessions.notified(session, &method, params);
            }
            Ok(StatusCode::ACCEPTED.into_response())
        }
        Message::Response { .. } => Err(anonymous(Failure {
            status: 400,
            ..Failure::request("an answer to nothing: this server asks nothing".to_owned())
        })),
    }
}

/// The session of this request, if it is of a revision that has batches.
fn batching<'h>(
    shared: &Shared,
    headers: &'h HeaderMap,
) -> Result<Option<(&'h str, Revision)>, Failure> {
    let Some(session) = session(headers)? else { return Ok(None) };
    let revision = shared.sessions.visit(session).filter(|r| wire::has_batches(*r));
    Ok(revision.map(|revision| (session, revision)))
}

/// How an answer is to leave.
struct Way<'a> {
    accepts: Accepts,
    /// Cancelled when there is no more time for it.
    over: &'a CancellationToken,
}

async fn answer(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    way: &Way<'_>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let Request { id, method, params } = request;
    if let Some(rules) = request.modern(Some(headers))? {
        return match shared.front.plan(rules, method, *params)? {
            Plan::Ready(body) => Ok(delivery::json(200, wire::response(id, &body))),
            Plan::Ask(pending) => Ok(ask(shared, way, rules, id, *pending, None).await),
        };
    }
    if *method == "initialize" {
        return initialize(shared, request);
    }
    let Some(session) = session(headers)? else {
        return Err(Failure { status: 400, ..Failure::no_era() });
    };
    let revision = shared.sessions.visit(session).ok_or_else(gone)?;
    legacy_header(headers)?;
    let rules = Rules::Legacy(revision);
    match shared.front.plan(rules, method, *params)? {
        Plan::Ready(body) => Ok(delivery::json(200, wire::response(id, &body))),
        Plan::Ask(pending) => {
            let ticket = shared.sessions.begin(session, id)?;
            Ok(ask(shared, way, rules, id, *pending, Some(ticket)).await)
        }
    }
}

fn initialize(shared: &Shared, request: &Request<'_>) -> Result<Response, Failure> {
    let revision = negotiate(request.params)?;
    let rules = Rules::Legacy(revision);
    let Plan::Ready(body) = shared.front.plan(rules, &request.method, request.params)? else {
        let fault = narrows_types::Fault::bug("initialize asked the engine");
        return Err(Failure::internal(&fault));
    };
    let session = shared.sessions.open(revision)?;
    let mut response = delivery::json(200, wire::response(&request.id, &body));
    // The id is made of letters and digits.
    if let Ok(value) = HeaderValue::from_str(&session) {
        response.headers_mut().insert(SESSION, value);
    }
    Ok(response)
}

/// Asks the engine. Progress needs a stream; without it the answer is one JSON message if the
/// client takes that.
async fn ask(
    shared: &Arc<Shared>,
    way: &Way<'_>,
    rules: Rules,
    id: &Id,
    pending: Pending,
    ticket: Option<Ticket>,
) -> Response {
    let (accepts, over) = (way.accepts, way.over.clone());
    let streamed = accepts.stream && (pending.token.is_some() || !accepts.json);
    let (notices, heard) = mpsc::channel(NOTIFICATIONS_MAX);
    let notify = move |message| drop(notices.try_send(message));
    let (shared, id) = (Arc::clone(shared), id.clone());
    let work = async move {
        let asked = shared.front.perform(pending, rules, Principal::local(), notify);
        let asked = async {
            let answered = over.run_until_cancelled(asked).await;
            answered.unwrap_or_else(|| Err(Failure::ending()))
        };
        let outcome = match &ticket {
            // A cancelled request is not answered.
            Some(ticket) => ticket.cancel.run_until_cancelled(asked).await?,
            None => asked.await,
        };
        Some(match outcome {
            Ok(body) => (200, wire::response(&id, &body)),
            Err(failure) => (failure.status, wire::failed(Some(&id), &failure)),
        })
    };
    if streamed {
        return delivery::stream(async { work.await.map(|(_, message)| message) }, heard);
    }
    match work.await {
        Some((status, message)) => delivery::json(status, message),
        None => StatusCode::ACCEPTED.into_response(),
    }
}

/// Opens a legacy session's stream. There is none in the modern era.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
) -> Response {
    let session = match legacy_session(&shared, &headers) {
        Ok(session) => session,
        Err(response) => return response,
    };
    if !Accepts::read(&headers).is_some_and(|a| a.stream) {
        let message = "Accept must name text/event-stream";
        return refuse(None, &Failure { status: 406, ..Failure::request(message.to_owned()) });
    }
    let ticket = match shared.sessions.listen(session) {
        Ok(ticket) => ticket,
        Err(failure) => return refuse(None, &failure),
    };
    delivery::silence(async move {
        let ended = ticket.cancel.cancelled();
        match closing {
            Some(Extension(closing)) => tokio::select! {
                () = ended => {}
                () = closing.begun.cancelled() => {}
            },
            None => ended.await,
        }
    })
}

/// Ends a legacy session.
pub(super) async fn delete(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    match legacy_session(&shared, &headers) {
        Ok(session) => {
            shared.sessions.close(session);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(response) => response,
    }
}

/// The living session that a GET or DELETE is for; 405 outside a session, 404 once it ended.
#[expect(clippy::result_large_err, reason = "the error is the response that is sent at once")]
fn legacy_session<'h>(shared: &Shared, headers: &'h HeaderMap) -> Result<&'h str, Response> {
    let named = session(headers).map_err(|failure| refuse(None, &failure))?;
    let modern = wire::header(headers, names::PROTOCOL_VERSION)
        .ok()
        .flatten()
        .and_then(Revision::parse)
        .is_some_and(Revision::is_modern);
    match named {
        Some(id) if !modern => match shared.sessions.visit(id) {
            Some(_) => Ok(id),
            None => Err(refuse(None, &gone())),
        },
        _ => {
            let message = "only sessions opened by initialize have this method; use POST";
            let failure = Failure { status: 405, ..Failure::request(message.to_owned()) };
            let mut response = refuse(None, &failure);
            let (name, value) = ALLOW_POST;
            response.headers_mut().insert(name, value);
            Err(response)
        }
    }
}

fn session(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    wire::header(headers, SESSION.as_str()).map_err(|failure| Failure { status: 400, ..failure })
}

/// From 2025-06-18 on, clients repeat the revision in a header; one that we do not know is refused.
fn legacy_header(headers: &HeaderMap) -> Result<(), Failure> {
    match wire::header(headers, names::PROTOCOL_VERSION)? {
        Some(named) if Revision::parse(named).is_none_or(Revision::is_modern) => {
            Err(Failure::unsupported(named))
        }
        _ => Ok(()),
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "Content-Type must be application/json".to_owned();
    Err(Failure { status: 415, ..Failure::request(message) })
}
