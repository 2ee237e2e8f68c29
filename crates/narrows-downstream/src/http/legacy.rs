//! HTTP+SSE, the transport of 2024-11-05: GET opens a stream whose first event names the place to
//! POST messages to, and what is to be said to them is said on the stream.
//!
//! Behind each stream stands the door that also serves standard streams, between two pipes in
//! memory. It ends with its stream: nothing of a client that goes away is left.

use super::body::Whole;
use super::endpoint::{Wish, is_json, refuse};
use super::guard::bearer;
use super::{Closing, Shared, delivery};
use crate::lines::{Line, Lines};
use crate::mcp::Shown;
use crate::stdio::{Guest, serve_front};
use crate::wire::{self, Failure};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, OriginalUri, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, BufReader, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Where a stream is opened, and where messages go.
pub(super) const STREAM: &str = "/sse";
pub(super) const MESSAGES: &str = "/messages";
/// Streams at once: each holds a connection, and most are left for requests.
const PIPES_MAX: usize = 256;
/// Messages of one client that wait to be read.
const INBOX_MAX: usize = 16;
/// Bytes in one pipe.
const PIPE_BYTES: usize = 64 << 10;
/// How long a message may wait for room.
const INBOX_WAIT: Duration = Duration::from_secs(10);

/// The open streams. The lock is held for a look-up only.
#[derive(Default)]
pub(super) struct Pipes(Mutex<HashMap<String, mpsc::Sender<Whole>>>);

impl Pipes {
    fn all(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Whole>>> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, inbox: mpsc::Sender<Whole>) -> Result<Place, Failure> {
        let id = wire::unguessable()?;
        let mut all = self.all();
        if all.len() >= PIPES_MAX {
            let message = format!("{PIPES_MAX} streams are open; POST to /mcp works without one");
            return Err(Failure { status: 503, ..Failure::busy(message) });
        }
        all.insert(id.clone(), inbox);
        Ok(Place { pipes: Arc::clone(self), id })
    }
}

/// A stream's place in the table; dropping it gives it back.
struct Place {
    pipes: Arc<Pipes>,
    id: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pipes.all().remove(&self.id);
    }
}

/// Opens a stream.
pub(super) async fn open(
    State(shared): State<Arc<Shared>>,
    wish: Result<Query<Wish>, QueryRejection>,
    closing: Option<Extension<Closing>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let Ok(Query(wish)) = wish else {
        let message = "`mode` must be code, hybrid or mcp";
        return refuse(None, &Failure::request(message.to_owned()));
    };
    let key = bearer(&headers).map(str::to_owned);
    if let Err(failure) = shared.front.enter(Shown::Key(key.as_deref()), None, wish.mode) {
        return refuse(None, &failure);
    }
    let (inbox, messages) = mpsc::channel(INBOX_MAX);
    let place = match shared.pipes.enter(inbox) {
        Ok(place) => place,
        Err(failure) => return refuse(None, &failure),
    };
    // The place is told as a path from the root: these routes may stand below another.
    let base = uri.path().strip_suffix(STREAM).unwrap_or_default();
    let endpoint = format!("{base}{MESSAGES}?session={}", place.id);
    let (to_door, from_client) = tokio::io::duplex(PIPE_BYTES);
    let (to_client, from_door) = tokio::io::duplex(PIPE_BYTES);
    let shutdown = closing.map(|Extension(closing)| closing.begun).unwrap_or_default();
    let guest = Guest { from_network: true, key, mode: wish.mode };
    let front = Arc::clone(&shared.front);
    let mut tasks = JoinSet::new();
    tasks.spawn(feed(messages, to_door));
    tasks.spawn(async move {
        if let Err(e) = serve_front(front, guest, shutdown, from_client, to_client).await {
            tracing::debug!("a stream of 2024-11-05 ended: {e}");
        }
    });
    let lines = Lines::new(BufReader::new(from_door), usize::MAX);
    let pipe = Pipe { endpoint: Some(endpoint), lines, _place: place, _tasks: tasks };
    delivery::events(stream::unfold(pipe, |mut pipe| async move {
        let event = pipe.next().await?;
        Some((Ok(event), pipe))
    }))
}

/// Takes messages to the door, one a line. Line breaks within JSON mean no more than blanks.
async fn feed(mut messages: mpsc::Receiver<Whole>, mut door: DuplexStream) {
    // A body counts among those that are held until the door has taken it.
    while let Some(body) = messages.recv().await {
        let mut message = body.bytes.to_vec();
        for byte in &mut message {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        message.push(b'\n');
        if door.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// One client's stream, and all that stands behind it.
struct Pipe {
    endpoint: Option<String>,
    lines: Lines<BufReader<DuplexStream>>,
    _place: Place,
    _tasks: JoinSet<()>,
}

impl Pipe {
    async fn next(&mut self) -> Option<Event> {
        if let Some(endpoint) = self.endpoint.take() {
            return Some(Event::default().event("endpoint").data(endpoint));
        }
        match self.lines.next().await {
            Ok(Line::Whole(line)) => {
                let message = String::from_utf8(line).ok()?;
                Some(Event::default().event("message").data(message))
            }
            Ok(Line::TooLong | Line::End) | Err(_) => None,
        }
    }
}

/// The stream that a message is for.
#[derive(Debug, Deserialize)]
pub(super) struct Addressed {
    session: String,
}

/// Takes a message; its answer comes on the stream.
pub(super) async fn message(
    State(shared): State<Arc<Shared>>,
    addressed: Result<Query<Addressed>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match take(&shared, addressed, &headers, body).await {
        Ok(()) => (StatusCode::ACCEPTED, "Accepted").into_response(),
        Err(failure) => refuse(None, &failure),
    }
}

async fn take(
    shared: &Shared,
    addressed: Result<Query<Addressed>, QueryRejection>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Failure> {
    let gone = || {
        let message = format!("no such stream; open one with GET {STREAM}, or POST to /mcp");
        Failure { status: 404, ..Failure::request(message) }
    };
    is_json(headers)?;
    let Query(Addressed { session }) = addressed.map_err(|_no_session| gone())?;
    let inbox = shared.pipes.all().get(&session).cloned().ok_or_else(gone)?;
    let body = shared.bodies.read(body, shared.front.config.body_bytes_max).await?;
    match tokio::time::timeout(INBOX_WAIT, inbox.send(body)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_closed)) => Err(gone()),
        Err(_elapsed) => {
            let message = "messages wait already; read the stream and try again".to_owned();
            Err(Failure { status: 429, ..Failure::busy(message) })
        }
    }
}
