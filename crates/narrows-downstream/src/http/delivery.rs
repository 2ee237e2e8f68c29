//! How an answer reaches an HTTP client: as JSON, or as a stream that ends with it.

use super::sessions::Ticket;
use super::streams::Streams;
use crate::conversation::Conversation;
use crate::mcp::{Exchange, Said};
use crate::wire::{self, Failure};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use narrows_protocol::Id;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often a silent stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client that takes a stream waits for the first sign of life.
const SILENCE: Duration = Duration::from_secs(5);
/// The same where it can come back to the stream: what takes longer is safe there.
const SILENCE_SAFE: Duration = Duration::from_millis(40);
/// Messages of no request that wait for a stream; further ones are refused.
const STANDING_MAX: usize = 64;
/// Proxies must not hold events back.
const NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// The forms of an answer that a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepts {
    pub(crate) json: bool,
    pub(crate) stream: bool,
}

impl Accepts {
    /// From `Accept`. A client that does not say takes JSON; `None` if it takes neither.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut accepts = Self { json: false, stream: false };
        let mut said = false;
        for value in headers.get_all(header::ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                let kind = range.split(';').next().unwrap_or_default().trim();
                said |= !kind.is_empty();
                accepts.json |= is_one_of(kind, &["application/json", "application/*", "*/*"]);
                accepts.stream |= is_one_of(kind, &["text/event-stream", "text/*"]);
            }
        }
        if !said {
            accepts.json = true;
        }
        (accepts.json || accepts.stream).then_some(accepts)
    }
}

fn is_one_of(kind: &str, kinds: &[&str]) -> bool {
    kinds.iter().any(|k| k.eq_ignore_ascii_case(kind))
}

/// One JSON message.
pub(crate) fn json(status: u16, message: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, content_type)], Body::from(message)).into_response()
}

/// An answer in the making. Nothing runs beside the response: a client that goes away drops it and
/// all that is under way for it.
pub(crate) struct Reply {
    pub(crate) id: Id,
    pub(crate) exchange: Exchange,
    pub(crate) ticket: Option<Ticket>,
    /// Where its stream is kept, if the client can come back to it.
    pub(crate) streams: Option<Arc<Streams>>,
    /// Cancelled when there is no more time for it.
    pub(crate) over: CancellationToken,
}

/// One message of a reply.
pub(super) enum Sent {
    /// Something before the answer that may be lost.
    Note(String),
    /// Something before the answer.
    More(String),
    /// The client is to poll for the rest, in so many milliseconds.
    Pause(Option<u64>),
    /// The answer, with its status.
    Last(u16, String),
}

impl Reply {
    /// What comes next; `None` if the request was cancelled, for it is not answered then. May be
    /// dropped and called again.
    pub(super) async fn next(&mut self) -> Option<Sent> {
        let outcome = loop {
            let next = self.over.run_until_cancelled(self.exchange.next());
            let said = match &self.ticket {
                Some(ticket) => ticket.cancel.run_until_cancelled(next).await?,
                None => next.await,
            };
            match said {
                Some(Said::Note(message)) => return Some(Sent::Note(message)),
                Some(Said::Must(message)) => return Some(Sent::More(message)),
                Some(Said::Paused(retry_ms)) if self.streams.is_some() => {
                    return Some(Sent::Pause(retry_ms));
                }
                // A client that could not come back is left waiting.
                Some(Said::Asks | Said::Withdrawn(_) | Said::Paused(_)) => {}
                Some(Said::Last(outcome)) => break outcome,
                None => break Err(Failure::ending()),
            }
        };
        Some(match outcome {
            Ok(body) => Sent::Last(200, wire::response(&self.id, &body)),
            Err(failure) => Sent::Last(failure.status, wire::failed(Some(&self.id), &failure)),
        })
    }
}

/// One JSON message where the answer comes first and soon, else a stream that ends with it.
pub(crate) async fn reply(mut reply: Reply, accepts: Accepts) -> Response {
    let first = if accepts.stream {
        let silence = if reply.streams.is_some() { SILENCE_SAFE } else { SILENCE };
        match tokio::time::timeout(silence, reply.next()).await {
            Ok(first) => first,
            Err(_elapsed) => return streamed(None, reply),
        }
    } else {
        reply.exchange.mute();
        loop {
            match reply.next().await {
                Some(Sent::Note(_) | Sent::More(_) | Sent::Pause(_)) => {}
                last => break last,
            }
        }
    };
    match first {
        None => StatusCode::ACCEPTED.into_response(),
        Some(Sent::Last(status, message)) if accepts.json => json(status, message),
        Some(first) => streamed(Some(first), reply),
    }
}

fn streamed(first: Option<Sent>, reply: Reply) -> Response {
    if let Some(streams) = reply.streams.clone().filter(|streams| streams.has_room()) {
        return streams.open(first, reply);
    }
    events(stream::unfold((first, Some(reply)), |(mut first, reply)| async move {
        let mut reply = reply?;
        loop {
            let sent = match first.take() {
                Some(first) => first,
                None => reply.next().await?,
            };
            return Some(match sent {
                Sent::Pause(_) => continue,
                Sent::Note(text) | Sent::More(text) => {
                    (Ok(Event::default().data(text)), (None, Some(reply)))
                }
                Sent::Last(_, text) => (Ok(Event::default().data(text)), (None, None)),
            });
        }
    }))
}

/// A stream of what belongs to no request, until `end`.
pub(crate) fn standing(
    conversation: Arc<Conversation>,
    hears_changes: bool,
    end: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let (sender, heard) = mpsc::channel(STANDING_MAX);
    conversation.stand(sender);
    let state = Standing { conversation, heard, waiting: VecDeque::new(), hears_changes };
    let state = (state, Box::pin(end));
    events(stream::unfold(state, |(mut standing, mut end)| async move {
        tokio::select! {
            biased;
            () = &mut end => None,
            message = standing.next() => {
                Some((Ok(Event::default().data(message)), (standing, end)))
            }
        }
    }))
}

struct Standing {
    conversation: Arc<Conversation>,
    heard: mpsc::Receiver<String>,
    waiting: VecDeque<String>,
    hears_changes: bool,
}

impl Standing {
    async fn next(&mut self) -> String {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return message;
            }
            tokio::select! {
                Some(message) = self.heard.recv() => return message,
                post = self.conversation.letters.fetch(), if self.hears_changes => {
                    let notes = post.notes();
                    let texts = notes.iter().map(|(method, p)| wire::note(method, p.as_deref()));
                    self.waiting.extend(texts);
                }
                else => std::future::pending().await,
            }
        }
    }
}

pub(super) fn events<S>(events: S) -> Response
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    let live = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    ([NO_BUFFERING], live).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &str) -> Option<(bool, bool)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        Accepts::read(&headers).map(|a| (a.json, a.stream))
    }

    #[test]
    fn accept_is_read_as_http_says() {
        assert_eq!(accepts("application/json, text/event-stream"), Some((true, true)));
        assert_eq!(accepts("text/event-stream;q=0.5"), Some((false, true)));
        assert_eq!(accepts("Application/JSON"), Some((true, false)));
        assert_eq!(accepts("*/*"), Some((true, false)));
        assert_eq!(accepts(""), Some((true, false)));
        assert_eq!(accepts("text/html"), None);
        assert_eq!(Accepts::read(&HeaderMap::new()), Some(Accepts { json: true, stream: false }));
    }
}
