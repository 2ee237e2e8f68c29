//! How an answer reaches an HTTP client: as JSON, or as a stream that ends with it.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a silent stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
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

/// Messages as they come, then the one that `work` ends with. Nothing runs beside the response: a
/// client that goes away drops the stream and `work` with it.
pub(crate) fn stream(
    work: impl Future<Output = Option<String>> + Send + 'static,
    heard: mpsc::Receiver<String>,
) -> Response {
    let state = Streaming { work: Some(Box::pin(work)), heard, last: None };
    events(stream::unfold(state, |mut state| async move {
        let message = state.next().await?;
        Some((Ok(Event::default().data(message)), state))
    }))
}

/// A stream on which nothing is sent but signs of life, until `end`.
pub(crate) fn silence(end: impl Future<Output = ()> + Send + 'static) -> Response {
    use futures_util::StreamExt as _;
    events(stream::once(end).filter_map(|()| std::future::ready(None)))
}

fn events<S>(events: S) -> Response
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    let live = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    ([NO_BUFFERING], live).into_response()
}

struct Streaming {
    work: Option<Pin<Box<dyn Future<Output = Option<String>> + Send>>>,
    heard: mpsc::Receiver<String>,
    last: Option<String>,
}

impl Streaming {
    async fn next(&mut self) -> Option<String> {
        if let Some(work) = &mut self.work {
            tokio::select! {
                biased;
                Some(message) = self.heard.recv() => return Some(message),
                last = work => self.last = last,
            }
            self.work = None;
        }
        match self.heard.try_recv() {
            Ok(message) => Some(message),
            Err(_empty) => self.last.take(),
        }
    }
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
