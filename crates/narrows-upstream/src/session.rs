//! One live connection to an upstream: it owns the ids, the requests under way, their deadlines and
//! their progress. One task, one closed set of events.

mod body;

pub(crate) use body::{Body, Introduction};

use crate::wire::{Failure, Incoming, Letter, Outgoing, Wire};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use narrows_protocol::{Id, Message, Revision, RpcError, code, envelope, views};
use narrows_types::Event;
use narrows_types::fault::clip;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests that wait to be taken up.
const ASKS_MAX: usize = 256;
/// Requests under way on one connection.
const PENDING_MAX: usize = 1_024;
/// Messages in one batch.
const BATCH_MAX: usize = 1_000;
/// How long the transport may take to end.
const END_WAIT: Duration = Duration::from_secs(5);
/// How long past its deadline a request waits to hear so from the session.
const GRACE: Duration = Duration::from_secs(2);
/// How long requests under way may still be answered after the upstream forgot the session.
const EXPIRED_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a progress message.
const PROGRESS_BYTES_MAX: usize = 200;

/// What came of a request.
pub(crate) type Reply = Result<Box<RawValue>, Failure>;

/// A request to the session.
pub(crate) struct Ask {
    body: Body,
    revision: Option<Revision>,
    deadline: Option<Instant>,
    progress: Option<mpsc::Sender<Event>>,
    reply: mpsc::Sender<Reply>,
}

/// How the rest of the house speaks to a session. Dropping the future of a request cancels it.
#[derive(Clone)]
pub(crate) struct Peer {
    asks: mpsc::Sender<Ask>,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// By itself: the reason.
    Lost(String),
    /// Because we wanted it so, or because nobody used it.
    Stopped,
}

/// What a session is told when it starts.
pub(crate) struct Terms {
    pub(crate) server: String,
    pub(crate) introduction: Arc<Introduction>,
    /// Told when the upstream says that its tools changed.
    pub(crate) changed: Arc<Notify>,
    /// Ends the session.
    pub(crate) stop: CancellationToken,
    /// Ends the session when nobody used it for so long.
    pub(crate) idle_stop: Option<Duration>,
}

/// The owner.
pub(crate) struct Session {
    terms: Terms,
    wire: Wire,
    asks: mpsc::Receiver<Ask>,
    pending: HashMap<i64, Pending>,
    vigils: FuturesUnordered<Vigil>,
    next_id: i64,
    /// When the upstream forgot the session; the rest of what is under way gets a moment.
    expired: Option<Instant>,
    last_used: Instant,
}

/// Waits until a request is over or late.
type Vigil = Pin<Box<dyn Future<Output = (i64, bool)> + Send>>;

struct Pending {
    reply: mpsc::Sender<Reply>,
    method: &'static str,
    progress: Option<mpsc::Sender<Event>>,
    fraction: f64,
}

impl Peer {
    /// Whether the session takes no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.asks.is_closed()
    }

    /// Asks and waits until the deadline (for ever if there is none).
    pub(crate) async fn ask(
        &self,
        body: Body,
        revision: Option<Revision>,
        deadline: Option<Instant>,
        progress: Option<mpsc::Sender<Event>>,
    ) -> Reply {
        let (reply, mut answer) = mpsc::channel(1);
        let ask = Ask { body, revision, deadline, progress, reply };
        let gone = |sent| Failure::Lost { reason: "the connection ended".to_owned(), sent };
        let Some(deadline) = deadline else {
            if self.asks.send(ask).await.is_err() {
                return Err(gone(false));
            }
            return answer.recv().await.unwrap_or_else(|| Err(gone(true)));
        };
        match tokio::time::timeout_at(deadline, self.asks.send(ask)).await {
            Ok(Ok(())) => {}
            Ok(Err(_closed)) => return Err(gone(false)),
            Err(_elapsed) => return Err(Failure::Timeout),
        }
        // The session keeps the deadline; this one is for a session that does not.
        match tokio::time::timeout_at(deadline + GRACE, answer.recv()).await {
            Ok(Some(reply)) => reply,
            Ok(None) => Err(gone(true)),
            Err(_elapsed) => Err(Failure::Timeout),
        }
    }
}

/// Waits until nobody waits for the reply any more, or the deadline passes (`true`).
async fn vigil(id: i64, reply: mpsc::Sender<Reply>, deadline: Option<Instant>) -> (i64, bool) {
    let Some(deadline) = deadline else {
        reply.closed().await;
        return (id, false);
    };
    (id, tokio::time::timeout_at(deadline, reply.closed()).await.is_err())
}

impl Session {
    /// A session over a transport that has just started.
    pub(crate) fn new(terms: Terms, wire: Wire) -> (Peer, Self) {
        let (asks, to_do) = mpsc::channel(ASKS_MAX);
        let session = Self {
            terms,
            wire,
            asks: to_do,
            pending: HashMap::new(),
            vigils: FuturesUnordered::new(),
            next_id: 1,
            expired: None,
            last_used: Instant::now(),
        };
        (Peer { asks }, session)
    }

    /// Serves until the connection ends; then everything under way has failed, and the transport
    /// and its processes are gone.
    pub(crate) async fn run(mut self) -> End {
        let stop = self.terms.stop.clone();
        let mut stopped = false;
        loop {
            let idle = self.idle_at();
            tokio::select! {
                incoming = self.wire.incoming.recv() => match incoming {
                    Some(incoming) => self.take(incoming),
                    None => break,
                },
                ask = self.asks.recv(), if self.expired.is_none() => {
                    let Some(ask) = ask else { stopped = true; break };
                    self.send(ask);
                }
                Some((id, late)) = self.vigils.next(), if !self.vigils.is_empty() => {
                    self.give_up(id, late);
                }
                () = stop.cancelled() => { stopped = true; break }
                () = sleep_until(idle) => { stopped = true; break }
                () = sleep_until(self.expired) => break,
            }
        }
        self.end(stopped).await
    }

    fn idle_at(&self) -> Option<Instant> {
        let used = self.pending.values().any(|p| p.method != "subscriptions/listen");
        self.terms.idle_stop.filter(|_| !used).map(|idle| self.last_used + idle)
    }

    async fn end(self, stopped: bool) -> End {
        let Self { wire, mut asks, pending, expired, .. } = self;
        let Wire { outgoing, incoming, ended } = wire;
        drop((outgoing, incoming));
        asks.close();
        while let Some(ask) = asks.recv().await {
            let reason = "the connection ended".to_owned();
            let _gone = ask.reply.try_send(Err(Failure::Lost { reason, sent: false }));
        }
        let reason = match tokio::time::timeout(END_WAIT, ended).await {
            Ok(Ok(reason)) => reason,
            Ok(Err(broken)) => format!("its transport broke: {broken}"),
            Err(_elapsed) => "its transport does not end".to_owned(),
        };
        let reason = if stopped { "it was stopped".to_owned() } else { reason };
        for (_, waiting) in pending {
            let failure = Failure::Lost { reason: reason.clone(), sent: true };
            // Whoever stopped waiting needs no answer.
            let _gone = waiting.reply.try_send(Err(failure));
        }
        if stopped || expired.is_some() { End::Stopped } else { End::Lost(reason) }
    }

    /// Sends a request and keeps it until it is answered, abandoned or late.
    fn send(&mut self, ask: Ask) {
        let Ask { body, revision, deadline, progress, reply } = ask;
        if reply.is_closed() {
            return;
        }
        self.last_used = Instant::now();
        if self.pending.len() >= PENDING_MAX {
            let reason = format!("{PENDING_MAX} requests are under way");
            let _gone = reply.try_send(Err(Failure::Busy { reason, retry_ms: 500 }));
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let letter = body.letter(id, revision, progress.is_some(), &self.terms.introduction);
        let letter = match letter {
            Ok(letter) => letter,
            Err(e) => {
                let failure = Failure::Protocol(format!("the request cannot be written: {e}"));
                let _gone = reply.try_send(Err(failure));
                return;
            }
        };
        let (method, waits) = (letter.method, letter.id.is_some());
        if self.wire.outgoing.try_send(Outgoing::Message(letter)).is_err() {
            let failure = if self.wire.outgoing.is_closed() {
                Failure::Lost { reason: "the connection ended".to_owned(), sent: false }
            } else {
                let reason = "it does not read what it is sent".to_owned();
                Failure::Busy { reason, retry_ms: 1_000 }
            };
            let _gone = reply.try_send(Err(failure));
            return;
        }
        if !waits {
            let _gone = reply.try_send(Ok(RawValue::NULL.to_owned()));
            return;
        }
        self.vigils.push(Box::pin(vigil(id, reply.clone(), deadline)));
        self.pending.insert(id, Pending { reply, method, progress, fraction: 0.0 });
    }

    /// The caller went away, or the deadline passed: the upstream is told to stop.
    fn give_up(&mut self, id: i64, late: bool) {
        let Some(waiting) = self.pending.remove(&id) else { return };
        self.last_used = Instant::now();
        if late {
            let _gone = waiting.reply.try_send(Err(Failure::Timeout));
        }
        // A transport that is full or gone has nothing to be told.
        let _full = self.wire.outgoing.try_send(Outgoing::Abandon(id));
        if waiting.method == "initialize" {
            return;
        }
        let reason = if late { "deadline" } else { "cancelled" };
        let params = serde_json::json!({"requestId": id, "reason": reason});
        if let Ok(body) = envelope::notification("notifications/cancelled", &params) {
            self.post("notifications/cancelled", body);
        }
    }

    /// Sends what needs no answer.
    fn post(&mut self, method: &'static str, body: String) {
        let letter =
            Letter { body, id: None, method, name: None, revision: None, mirrored: Vec::new() };
        if self.wire.outgoing.try_send(Outgoing::Message(letter)).is_err() {
            tracing::debug!(server = self.terms.server, method, "could not be sent");
        }
    }

    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Message(bytes) if bytes.trim_ascii_start().starts_with(b"[") => {
                self.batch(&bytes);
            }
            Incoming::Message(bytes) => self.message(&bytes),
            Incoming::Failed { id, failure } => self.answer(id, Err(failure)),
            Incoming::Expired => {
                self.asks.close();
                self.expired = Some(Instant::now() + EXPIRED_WAIT);
            }
        }
    }

    fn batch(&mut self, bytes: &[u8]) {
        match serde_json::from_slice::<Vec<&RawValue>>(bytes) {
            Ok(messages) => {
                for message in messages.into_iter().take(BATCH_MAX) {
                    self.message(message.get().as_bytes());
                }
            }
            Err(e) => self.malformed(bytes, &e.to_string()),
        }
    }

    fn message(&mut self, bytes: &[u8]) {
        match Message::parse(bytes) {
            Ok(Message::Response { id, outcome }) => {
                let reply = outcome.map(ToOwned::to_owned).map_err(Failure::Rpc);
                // Ours are numbers from 1.
                self.answer(number(&id).unwrap_or(0), reply);
            }
            Ok(Message::Request { id, method, .. }) => self.serve(&id, &method),
            Ok(Message::Notification { method, params }) => self.note(&method, params),
            Err(malformed) => self.malformed(bytes, &malformed.message),
        }
    }

    /// What is no message fails the request that it answers, if it tells which.
    fn malformed(&mut self, bytes: &[u8], why: &str) {
        #[derive(Deserialize)]
        struct Named {
            id: Id,
        }
        let why = clip(why.to_owned(), 200);
        tracing::warn!(server = self.terms.server, "a broken message: {why}");
        let named = serde_json::from_slice::<Named>(bytes).ok();
        if let Some(id) = named.and_then(|named| number(&named.id)) {
            self.answer(id, Err(Failure::Protocol(why)));
        }
    }

    fn answer(&mut self, id: i64, reply: Reply) {
        let Some(waiting) = self.pending.remove(&id) else {
            tracing::debug!(server = self.terms.server, id, "an answer that nobody waits for");
            return;
        };
        self.last_used = Instant::now();
        // Whoever stopped waiting needs no answer.
        let _gone = waiting.reply.try_send(reply);
    }

    /// A request of the upstream: we offer nothing but a sign of life.
    fn serve(&mut self, id: &Id, method: &str) {
        let body = if method == "ping" {
            envelope::response(id, &serde_json::json!({}))
        } else {
            let method = clip(method.to_owned(), 64);
            tracing::debug!(server = self.terms.server, method, "asks for what we do not offer");
            let message = format!("{method} is not offered");
            envelope::failure(id, &RpcError { code: code::METHOD_NOT_FOUND, message, data: None })
        };
        if let Ok(body) = body {
            self.post("", body);
        }
    }

    fn note(&mut self, method: &str, params: Option<&RawValue>) {
        match method {
            "notifications/tools/list_changed" => self.terms.changed.notify_one(),
            "notifications/progress" => {
                let progress = params.and_then(|p| serde_json::from_str(p.get()).ok());
                if let Some(progress) = progress {
                    self.progress(progress);
                }
            }
            _ => tracing::trace!(server = self.terms.server, "notification {method}"),
        }
    }

    /// Passes progress on as a fraction that only grows; a caller that is slow misses some.
    fn progress(&mut self, told: views::Progress) {
        let waiting = number(&told.progress_token).and_then(|id| self.pending.get_mut(&id));
        let Some(Pending { progress: Some(listener), fraction: last, .. }) = waiting else {
            return;
        };
        let total = told.total.filter(|total| total.is_finite() && *total > 0.0);
        let fraction = total.map(|total| (told.progress / total).clamp(0.0, 1.0));
        if let Some(fraction) = fraction {
            if fraction <= *last || fraction.is_nan() {
                return;
            }
            *last = fraction;
        }
        let message = clip(told.message.unwrap_or_default(), PROGRESS_BYTES_MAX);
        let _full = listener.try_send(Event::Progress { fraction, message });
    }
}

/// Our own ids are numbers; some servers give them back as text.
fn number(id: &Id) -> Option<i64> {
    match id {
        Id::Number(number) => Some(*number),
        Id::Text(text) => text.parse().ok(),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
