//! `/mcp`: Streamable HTTP in both eras.
//!
//! A request that carries the modern `_meta` stands alone. `initialize` opens a legacy session,
//! named by `Mcp-Session-Id` from then on; only such a session has GET (a stream of what belongs to
//! no request, or the rest of one that broke off) and DELETE (its end).

use super::batch;
use super::delivery::{self, Accepts, Reply};
use super::guard::bearer;
use super::mirrors;
use super::sessions::{Sessions, gone};
use super::{Closing, Shared};
use crate::caller::Caller;
use crate::conversation::Conversation;
use crate::mcp::{Params, Plan, Shown, negotiate};
use crate::wire::{self, Failure, Request};
use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use narrows_protocol::{Id, Message, Revision, header as names};
use narrows_types::Mode;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

/// The header that names a legacy session.
const SESSION: HeaderName = HeaderName::from_static(names::SESSION);
const ALLOW_POST: (HeaderName, HeaderValue) = (header::ALLOW, HeaderValue::from_static("POST"));

/// What the address of a request may say.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(super) struct Wish {
    /// What the client wants to see.
    #[serde(default)]
    pub(super) mode: Option<Mode>,
}

/// Takes one message (or a batch, in the one revision that has them).
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    wish: Result<Query<Wish>, axum::extract::rejection::QueryRejection>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Closing { begun, over } = closing.map(|Extension(closing)| closing).unwrap_or_default();
    let Ok(Query(wish)) = wish else {
        let message = "`mode` must be code, hybrid or mcp";
        return refuse(None, &Failure::request(message.to_owned()));
    };
    match take(&shared, &headers, (&over, &begun, wish.mode), body).await {
        Ok(response) => response,
        Err((id, failure)) => refuse(id.as_ref(), &failure),
    }
}

type Refusal = (Option<Id>, Failure);

fn anonymous(failure: Failure) -> Refusal {
    (None, failure)
}

pub(super) fn refuse(id: Option<&Id>, failure: &Failure) -> Response {
    delivery::json(failure.status, wire::failed(id, failure))
}

async fn take(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    (over, begun, mode): (&CancellationToken, &CancellationToken, Option<Mode>),
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
    if let Some((session, conversation)) = batching(shared, headers).map_err(anonymous)?
        && let Some(messages) = wire::batch(bytes)
    {
        let messages = messages.map_err(anonymous)?;
        let caller = party(shared, headers, &conversation, mode).map_err(anonymous)?;
        let answers = over.run_until_cancelled(batch::take(shared, session, &caller, &messages));
        return answers.await.ok_or_else(|| anonymous(Failure::ending()));
    }
    match wire::parse(bytes).map_err(|bad| *bad)? {
        Message::Request { id, method, params } => {
            let request = Request { id, method, params };
            let way = Way { accepts, over, begun, mode };
            let answered = answer(shared, headers, &way, &request).await;
            answered.map_err(|failure| (Some(request.id), failure))
        }
        Message::Notification { method, params } => {
            if let Some(session) = session(headers).map_err(anonymous)? {
                let conversation = shared.sessions.visit(session).ok_or_else(gone);
                let conversation = conversation.map_err(anonymous)?;
                party(shared, headers, &conversation, mode).map_err(anonymous)?;
                shared.sessions.notified(session, &method, params);
                conversation.notified(&method).await;
            }
            Ok(StatusCode::ACCEPTED.into_response())
        }
        Message::Response { id, outcome } => {
            let nothing = || Failure {
                status: 400,
                ..Failure::request("an answer to nothing that was asked".to_owned())
            };
            let session = session(headers).map_err(anonymous)?;
            let session = session.ok_or_else(nothing).map_err(anonymous)?;
            let conversation = shared.sessions.visit(session).ok_or_else(gone);
            let conversation = conversation.map_err(anonymous)?;
            party(shared, headers, &conversation, mode).map_err(anonymous)?;
            if !conversation.answered(&id, outcome) {
                tracing::debug!("a client answered what nobody asks, or not any more");
            }
            Ok(StatusCode::ACCEPTED.into_response())
        }
    }
}

/// The session of this request, if it is of a revision that has batches.
fn batching<'h>(
    shared: &Shared,
    headers: &'h HeaderMap,
) -> Result<Option<(&'h str, Arc<Conversation>)>, Failure> {
    let Some(session) = session(headers)? else { return Ok(None) };
    let conversation = shared.sessions.visit(session);
    let conversation = conversation.filter(|c| wire::has_batches(c.revision));
    Ok(conversation.map(|conversation| (session, conversation)))
}

/// A party to a session, if it is the one that opened it.
fn party(
    shared: &Shared,
    headers: &HeaderMap,
    conversation: &Arc<Conversation>,
    mode: Option<Mode>,
) -> Result<Caller, Failure> {
    let info = conversation.client();
    let shown = Shown::Key(bearer(headers));
    let entry = shared.front.enter(shown, info.info.as_deref(), mode)?;
    if entry.principal != conversation.principal {
        // Nobody learns of sessions of others.
        return Err(gone());
    }
    Ok(Caller::party(conversation, entry.mode))
}

/// How an answer is to leave.
struct Way<'a> {
    accepts: Accepts,
    /// Cancelled when there is no more time for it.
    over: &'a CancellationToken,
    /// Cancelled when the server is about to end.
    begun: &'a CancellationToken,
    /// What the client wants to see.
    mode: Option<Mode>,
}

async fn answer(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    way: &Way<'_>,
    request: &Request<'_>,
) -> Result<Response, Failure> {
    let Request { id, method, params: whole } = request;
    let params = Params::read(*whole)?;
    let front = &shared.front;
    let (caller, ticket) = if request.is_modern(&params, Some(headers))? {
        let ending = way.begun.clone();
        let info = params.meta.as_ref().and_then(|m| m.info);
        let entry = front.enter(Shown::Key(bearer(headers)), info, way.mode)?;
        let caller = Caller { ending, ..Caller::alone(entry.principal, entry.mode, &params) };
        mirrors::check(front, &caller, (method, &params), headers).await?;
        (caller, None)
    } else if *method == "initialize" {
        return initialize(shared, (headers, way.mode), request, &params).await;
    } else {
        let Some(session) = session(headers)? else {
            return Err(Failure { status: 400, ..Failure::no_era() });
        };
        let conversation = shared.sessions.visit(session).ok_or_else(gone)?;
        legacy_header(headers)?;
        (party(shared, headers, &conversation, way.mode)?, Some(session))
    };
    let plan = match front.plan(&caller, method, &params, *whole)? {
        Plan::Ready(body) => return Ok(delivery::json(200, wire::response(id, &body))),
        plan => plan,
    };
    let streams = ticket.and_then(|session| shared.sessions.kept(session));
    let ticket = ticket.map(|session| shared.sessions.begin(session, id)).transpose()?;
    let exchange = front.start(&caller, id, plan);
    let reply = Reply { id: id.clone(), exchange, ticket, streams, over: way.over.clone() };
    Ok(delivery::reply(reply, way.accepts).await)
}

async fn initialize(
    shared: &Shared,
    (headers, mode): (&HeaderMap, Option<Mode>),
    request: &Request<'_>,
    params: &Params<'_>,
) -> Result<Response, Failure> {
    let revision = negotiate(params)?;
    let entry = shared.front.enter(Shown::Key(bearer(headers)), params.client_info, mode)?;
    let conversation = shared.front.converse(revision, entry.principal, params);
    let body = shared.front.introduce(&Caller::party(&conversation, entry.mode)).await?;
    let session = shared.sessions.open(conversation)?;
    if !shared.swept.swap(true, Ordering::AcqRel) {
        shared.front.chore(Sessions::sweep(Arc::downgrade(&shared.sessions)));
    }
    let mut response = delivery::json(200, wire::response(&request.id, &body));
    // The id is made of letters and digits.
    if let Ok(value) = HeaderValue::from_str(&session) {
        response.headers_mut().insert(SESSION, value);
    }
    Ok(response)
}

/// Opens a legacy session's stream. There is none in the modern era.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    wish: Result<Query<Wish>, axum::extract::rejection::QueryRejection>,
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
    let Some(conversation) = shared.sessions.visit(session) else {
        return refuse(None, &gone());
    };
    // Whoever comes back to what is kept no more hears what belongs to no request.
    let ticket = match shared.sessions.kept(session) {
        None => ticket,
        Some(kept) => match kept.resume(&headers, ticket) {
            Ok(response) => return response,
            Err(ticket) => ticket,
        },
    };
    let wish = wish.ok().and_then(|Query(wish)| wish.mode);
    let mode = match party(&shared, &headers, &conversation, wish) {
        Ok(caller) => caller.mode,
        Err(failure) => return refuse(None, &failure),
    };
    let end = async move {
        let ended = ticket.cancel.cancelled();
        match closing {
            Some(Extension(closing)) => tokio::select! {
                () = ended => {}
                () = closing.begun.cancelled() => {}
            },
            None => ended.await,
        }
    };
    delivery::standing(conversation, mode != Mode::Code, end)
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
            Some(conversation) => match party(shared, headers, &conversation, None) {
                Ok(_) => Ok(id),
                Err(failure) => Err(refuse(None, &failure)),
            },
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

pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "Content-Type must be application/json".to_owned();
    Err(Failure { status: 415, ..Failure::request(message) })
}
