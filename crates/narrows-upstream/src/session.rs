//! One live connection to an upstream: it owns the ids, the requests under way, their deadlines and
//! their progress. One task, one closed set of events.

mod body;
mod peer;

pub(crate) use body::{Body, Introduction};
pub(crate) use peer::Peer;

use crate::wire::{Failure, Incoming, Letter, Outgoing, Packet, Room, Told, Wire};
use narrows_protocol::{Id, Message, Revision, RpcError, code, envelope, views};
use narrows_types::Event;
use narrows_types::fault::clip;
use peer::{Ask, Cancel, gone};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests under way on one connection.
const PENDING_MAX: usize = 1_024;
/// How long the transport may take to end.
const END_WAIT: Duration = Duration::from_secs(5);
/// How long requests under way may still be answered after the upstream forgot the session.
const EXPIRED_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a progress message.
const PROGRESS_BYTES_MAX: usize = 200;
/// Bytes of an upstream's error message that are kept.
const ERROR_BYTES_MAX: usize = 1_024;
/// Bytes of what it says of a broken message.
const BROKEN_BYTES_MAX: usize = 200;

/// What came of a request.
pub(crate) type Reply = Result<Told, Failure>;

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
    cancels: mpsc::Receiver<Cancel>,
    pending: HashMap<i64, Pending>,
    /// Subscriptions among them, which are no use of the upstream.
    subscribed: usize,
    /// What was last spoken.
    revision: Option<Revision>,
    /// When the upstream forgot the session; the rest of what is under way gets a moment.
    expired: Option<Instant>,
    last_used: Instant,
}

struct Pending {
    reply: oneshot::Sender<Reply>,
    method: &'static str,
    revision: Option<Revision>,
    progress: Option<mpsc::Sender<Event>>,
    fraction: f64,
    result_bytes: usize,
}

impl Pending {
    fn is_subscription(&self) -> bool {
        self.method == "subscriptions/listen"
    }
}

impl Session {
    /// A session over a transport that has just started.
    pub(crate) fn new(terms: Terms, wire: Wire) -> (Peer, Self) {
        let (peer, asks, cancels) = Peer::new();
        let session = Self {
            terms,
            wire,
            asks,
            cancels,
            pending: HashMap::new(),
            subscribed: 0,
            revision: None,
            expired: None,
            last_used: Instant::now(),
        };
        (peer, session)
    }

    /// Serves until the connection ends; then everything under way has failed, and the transport
    /// and its processes are gone. The transport runs within: a message wakes one task, not two.
    pub(crate) async fn run(mut self) -> End {
        let stop = self.terms.stop.clone();
        let mut stop = pin!(stop.cancelled());
        let mut alarm = pin!(tokio::time::sleep_until(Instant::now()));
        let mut armed = None;
        let (mut over, mut stopped) = (None, false);
        loop {
            // An alarm that is too early costs less than one that is set anew at every message.
            if let Some(at) = self.alarm().filter(|at| armed.is_none_or(|armed| *at < armed)) {
                alarm.as_mut().reset(at);
                armed = Some(at);
            }
            tokio::select! {
                reason = &mut self.wire.driver, if over.is_none() => over = Some(reason),
                incoming = self.wire.incoming.recv() => match incoming {
                    Some(incoming) => self.take(incoming),
                    None => break,
                },
                ask = self.asks.recv(), if self.expired.is_none() => {
                    let Some(ask) = ask else { stopped = true; break };
                    // What was given up before this was asked is told before.
                    while let Ok(cancel) = self.cancels.try_recv() {
                        self.give_up(&cancel);
                    }
                    self.send(ask);
                }
                Some(cancel) = self.cancels.recv() => self.give_up(&cancel),
                () = &mut stop => { stopped = true; break }
                () = &mut alarm, if armed.is_some() => {
                    armed = None;
                    if self.alarm().is_some_and(|at| at <= Instant::now()) {
                        stopped = self.expired.is_none();
                        break;
                    }
                }
            }
        }
        self.end(over, stopped).await
    }

    /// When the session ends if nothing happens before.
    fn alarm(&self) -> Option<Instant> {
        let used = self.pending.len() > self.subscribed;
        let idle = self.terms.idle_stop.filter(|_| !used).map(|idle| self.last_used + idle);
        self.expired.or(idle)
    }

    async fn end(self, over: Option<String>, stopped: bool) -> End {
        let Self { wire, mut asks, pending, expired, .. } = self;
        let Wire { outgoing, incoming, driver, .. } = wire;
        drop((outgoing, incoming));
        asks.close();
        while let Some(ask) = asks.recv().await {
            // Whoever stopped waiting needs no answer.
            let _gone = ask.reply.send(Err(gone(false)));
        }
        let reason = match over {
            Some(reason) => reason,
            None => tokio::time::timeout(END_WAIT, driver)
                .await
                .unwrap_or_else(|_elapsed| "its transport does not end".to_owned()),
        };
        let reason = if stopped { "it was stopped".to_owned() } else { reason };
        for (_, waiting) in pending {
            let failure = Failure::Lost { reason: reason.clone(), sent: true };
            let _gone = waiting.reply.send(Err(failure));
        }
        if stopped || expired.is_some() { End::Stopped } else { End::Lost(reason) }
    }

    /// Sends a request and keeps it until it is answered or given up.
    fn send(&mut self, ask: Ask) {
        let Ask { id, body, revision, progress, result_bytes, reply } = ask;
        if reply.is_closed() {
            return;
        }
        self.last_used = Instant::now();
        self.revision = revision;
        if self.pending.len() >= PENDING_MAX {
            let reason = format!("{PENDING_MAX} requests are under way");
            let _gone = reply.send(Err(Failure::Busy { reason, retry_ms: 500 }));
            return;
        }
        let letter = body.letter(id, revision, progress.is_some(), &self.terms.introduction);
        let sent = letter
            .map_err(|e| Failure::Protocol(format!("the request cannot be written: {e}")))
            .and_then(|letter| {
                let (method, waits) = (letter.method, letter.id.is_some());
                self.dispatch(letter).map(|()| (method, waits))
            });
        match sent {
            Ok((method, true)) => {
                let waiting =
                    Pending { reply, method, revision, progress, fraction: 0.0, result_bytes };
                self.subscribed += usize::from(waiting.is_subscription());
                self.pending.insert(id, waiting);
            }
            Ok((_, false)) => {
                let _gone = reply.send(Ok(Told::text("null")));
            }
            Err(failure) => {
                let _gone = reply.send(Err(failure));
            }
        }
    }

    /// Hands a message to the transport, if there is room for it.
    fn dispatch(&self, mut letter: Letter) -> Result<(), Failure> {
        let full = || Failure::Busy {
            reason: "it does not read what it is sent".to_owned(),
            retry_ms: 1_000,
        };
        letter.room = self.wire.outgoing_budget.room_now(letter.body.len()).ok_or_else(full)?;
        self.wire.outgoing.try_send(Outgoing::Message(letter)).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => gone(false),
            mpsc::error::TrySendError::Full(_) => full(),
        })
    }

    fn done(&mut self, id: i64) -> Option<Pending> {
        let waiting = self.pending.remove(&id)?;
        self.subscribed -= usize::from(waiting.is_subscription());
        self.last_used = Instant::now();
        Some(waiting)
    }

    /// The caller went away, or its deadline passed: the upstream is told to stop.
    fn give_up(&mut self, cancel: &Cancel) {
        let Some(waiting) = self.done(cancel.id) else { return };
        // A transport that is full or gone has nothing to be told.
        let _full = self.wire.outgoing.try_send(Outgoing::Abandon(cancel.id));
        let modern = waiting.revision.is_some_and(Revision::is_modern);
        if waiting.method == "initialize" || (modern && self.wire.tells_abandoned) {
            return;
        }
        let reason = if cancel.late { "deadline" } else { "cancelled" };
        let params = serde_json::json!({"requestId": cancel.id, "reason": reason});
        if let Ok(body) = envelope::notification("notifications/cancelled", &params) {
            self.post("notifications/cancelled", body, waiting.revision);
        }
    }

    /// Sends what needs no answer.
    fn post(&mut self, method: &'static str, body: String, revision: Option<Revision>) {
        let (mirrored, room) = (Vec::new(), Room::default());
        let letter = Letter { body, id: None, method, name: None, revision, mirrored, room };
        if self.dispatch(letter).is_err() {
            tracing::debug!(server = self.terms.server, method, "could not be sent");
        }
    }

    fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Message { packet, only_answer_to, via } => {
                tracing::trace!(server = self.terms.server, via, "a message");
                if packet.bytes.trim_ascii_start().starts_with(b"[") {
                    self.batch(&packet.bytes);
                } else {
                    self.message(packet);
                }
                if let Some(waiting) = only_answer_to.and_then(|id| self.done(id)) {
                    let reason = "its answer is not to what was asked".to_owned();
                    let _gone = waiting.reply.send(Err(Failure::Protocol(reason)));
                }
            }
            Incoming::Failed { id, failure } => self.answer(id, |_| Err(failure)),
            Incoming::Expired => {
                self.asks.close();
                self.expired = Some(Instant::now() + EXPIRED_WAIT);
            }
            Incoming::Paused { id, retry_ms } => {
                tracing::trace!(server = self.terms.server, id, retry_ms, "its stream paused");
            }
            Incoming::Resumed => self.terms.changed.notify_one(),
        }
    }

    fn batch(&mut self, bytes: &[u8]) {
        match serde_json::from_slice::<views::Batch<'_>>(bytes) {
            Ok(batch) => {
                for message in batch.0 {
                    let bytes = message.get().as_bytes().to_vec();
                    self.message(Packet { bytes, room: Room::default() });
                }
            }
            Err(e) => self.malformed(bytes, &e.to_string()),
        }
    }

    fn message(&mut self, packet: Packet) {
        match Message::parse(&packet.bytes) {
            Ok(Message::Response { id, outcome }) => {
                let id = number(&id).unwrap_or(0);
                match outcome {
                    Ok(result) => {
                        let place = place(&packet.bytes, result);
                        self.answer(id, |limit| told(packet, place, limit));
                    }
                    Err(mut error) => {
                        error.message = clip(error.message, ERROR_BYTES_MAX);
                        self.answer(id, |_| Err(Failure::Rpc(error)));
                    }
                }
            }
            Ok(Message::Request { id, method, .. }) => self.serve(&id, &method),
            Ok(Message::Notification { method, params }) => self.note(&method, params),
            Err(malformed) => self.malformed(&packet.bytes, &malformed.message),
        }
    }

    /// What is no message fails the request that it answers, if it tells which.
    fn malformed(&mut self, bytes: &[u8], why: &str) {
        #[derive(Deserialize)]
        struct Named {
            id: Id,
        }
        // It may repeat what came, at any length.
        let why = clip(why.to_owned(), BROKEN_BYTES_MAX);
        tracing::warn!(server = self.terms.server, "a broken message: {why}");
        let named = serde_json::from_slice::<Named>(bytes).ok();
        if let Some(id) = named.and_then(|named| number(&named.id)) {
            self.answer(id, |_| Err(Failure::Protocol(why)));
        }
    }

    /// Answers a request with what `reply` makes of the bytes that its result may have.
    fn answer(&mut self, id: i64, reply: impl FnOnce(usize) -> Reply) {
        let Some(waiting) = self.done(id) else {
            tracing::debug!(server = self.terms.server, id, "an answer that nobody waits for");
            return;
        };
        let reply = reply(waiting.result_bytes);
        // Whoever stopped waiting needs no answer.
        let _gone = waiting.reply.send(reply);
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
            self.post("", body, self.revision);
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

/// A result, if it is not larger than it may be. Parsed, it would take many times as much.
fn told(packet: Packet, place: Range<usize>, limit: usize) -> Reply {
    let bytes = place.len();
    if bytes > limit {
        Err(Failure::TooLarge { bytes, limit })
    } else {
        Ok(Told::new(packet, place))
    }
}

/// Where a part of a message is.
fn place(bytes: &[u8], part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr().addr() - bytes.as_ptr().addr();
    start..start + part.get().len()
}
