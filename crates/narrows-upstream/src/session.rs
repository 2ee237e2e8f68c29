//! One live connection to an upstream: it owns the ids, the requests under way, their deadlines and
//! their progress. One task, one closed set of events.

mod body;
mod clock;
mod heard;
mod peer;
mod questions;

pub(crate) use body::{Body, Introduction, Voice, Wanted};
pub(crate) use clock::{Clock, THINKING_MAX};
pub(crate) use heard::severity;
pub(crate) use peer::{Hears, Listener, Peer};

use crate::news::{Lists, News};
use crate::wire::{Failure, Incoming, Letter, Outgoing, Packet, Room, Told, Wire};
use narrows_protocol::{Id, Message, Revision, envelope, views};
use narrows_types::Back;
use narrows_types::fault::clip;
use peer::{Ask, Cancel, gone};
use questions::Questions;
pub(crate) use questions::{declined, next_number};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a connection is ended that nothing comes from.
const SILENT: &str = "it let a call run out of time, and did not answer a ping either";
/// Requests under way on one connection.
const PENDING_MAX: usize = 1_024;
/// How long the transport may take to end.
const END_WAIT: Duration = Duration::from_secs(5);
/// How long requests under way may still be answered after the upstream forgot the session.
const EXPIRED_WAIT: Duration = Duration::from_secs(1);
/// The least time that an upstream has to say that it lives.
const SILENCE_MIN: Duration = Duration::from_secs(2);
/// The id of the question whether it does: nobody waits for the answer.
const PING: i64 = -1;
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
    pub(crate) voice: Voice,
    /// Where the upstream's own words go.
    pub(crate) news: Arc<News>,
    /// Where the client hears what belongs to no request, if the connection is for one client.
    pub(crate) back: Option<Back>,
    /// Ends the session.
    pub(crate) stop: CancellationToken,
    /// How long a call may take.
    pub(crate) call_timeout: Duration,
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
    /// Requests that came when the transport was gone.
    unsent: Vec<oneshot::Sender<Reply>>,
    /// Subscriptions among them, which are no use of the upstream.
    subscribed: usize,
    /// What was last spoken.
    revision: Option<Revision>,
    questions: Questions,
    /// When the upstream forgot the session; the rest of what is under way gets a moment.
    expired: Option<Instant>,
    last_used: Instant,
    doubt: Option<Doubt>,
}

/// It let a request run out of time, and was asked whether it lives.
struct Doubt {
    /// When it counts as dead if it says nothing until then.
    until: Instant,
    /// The newest request that was under way then.
    newest: i64,
}

struct Pending {
    reply: oneshot::Sender<Reply>,
    method: &'static str,
    revision: Option<Revision>,
    hears: Hears,
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
        let (peer, asks, cancels) = Peer::new(terms.voice.clone());
        let session = Self {
            terms,
            wire,
            asks,
            cancels,
            pending: HashMap::new(),
            unsent: Vec::new(),
            subscribed: 0,
            revision: None,
            questions: Questions::new(),
            expired: None,
            last_used: Instant::now(),
            doubt: None,
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
                Some(answered) = self.questions.next() => self.answered(answered),
                () = &mut stop => { stopped = true; break }
                () = &mut alarm, if armed.is_some() => {
                    armed = None;
                    self.ask_kept();
                    if self.is_silent() {
                        break;
                    }
                    if self.over_at().is_some_and(|at| at <= Instant::now()) {
                        stopped = self.expired.is_none();
                        break;
                    }
                }
            }
        }
        self.end(over, stopped).await
    }

    /// When there is something to do if nothing happens before.
    fn alarm(&self) -> Option<Instant> {
        let over = earlier(self.over_at(), self.doubt.as_ref().map(|doubt| doubt.until));
        self.questions.next_look().map_or(over, |look| Some(over.map_or(look, |o| o.min(look))))
    }

    /// When the session ends if nothing happens before.
    fn over_at(&self) -> Option<Instant> {
        let used = self.pending.len() > self.subscribed || !self.terms.news.wished().is_empty();
        let idle = self.terms.idle_stop.filter(|_| !used).map(|idle| self.last_used + idle);
        self.expired.or(idle)
    }

    async fn end(self, over: Option<String>, stopped: bool) -> End {
        let Self { wire, mut asks, pending, unsent, expired, doubt, .. } = self;
        let Wire { outgoing, incoming, driver, .. } = wire;
        drop((outgoing, incoming));
        asks.close();
        for reply in unsent {
            let _gone = reply.send(Err(gone(false)));
        }
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
        let reason = match doubt {
            _ if stopped => "it was stopped".to_owned(),
            Some(doubt) if doubt.until <= Instant::now() => SILENT.to_owned(),
            _ => reason,
        };
        for (_, waiting) in pending {
            let lost = || Failure::Lost { reason: reason.clone(), sent: true };
            let _gone = waiting.reply.send(Err(if stopped { Failure::Stopped } else { lost() }));
        }
        if stopped || expired.is_some() { End::Stopped } else { End::Lost(reason) }
    }

    /// Sends a request and keeps it until it is answered or given up.
    fn send(&mut self, ask: Ask) {
        let Ask { letter, hears, result_bytes, reply } = ask;
        if reply.is_closed() {
            return;
        }
        self.last_used = Instant::now();
        let (id, method, revision) = (letter.id, letter.method, letter.revision);
        self.revision = revision;
        if self.pending.len() >= PENDING_MAX {
            let reason = format!("{PENDING_MAX} requests are under way");
            let _gone = reply.send(Err(Failure::Busy { reason, retry_ms: 500 }));
            return;
        }
        match (self.dispatch(letter), id) {
            (Ok(()), Some(id)) => {
                let waiting =
                    Pending { reply, method, revision, hears, fraction: 0.0, result_bytes };
                self.subscribed += usize::from(waiting.is_subscription());
                self.pending.insert(id, waiting);
            }
            (Ok(()), None) => {
                let _gone = reply.send(Ok(Told::text("null")));
            }
            // The transport is gone and we end, too: who asks again is to find the next connection.
            (Err(Failure::Lost { sent: false, .. }), _) if self.unsent.len() < PENDING_MAX => {
                self.unsent.push(reply);
            }
            (Err(failure), _) => {
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
        for body in self.questions.forget(id) {
            self.post("", body, waiting.revision);
        }
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
        if cancel.late {
            self.ask_whether_it_lives();
        }
        let reason = if cancel.late { "deadline" } else { "cancelled" };
        let params = serde_json::json!({"requestId": cancel.id, "reason": reason});
        if let Ok(body) = envelope::notification("notifications/cancelled", &params) {
            self.post("notifications/cancelled", body, waiting.revision);
        }
    }

    /// An upstream that hangs is not worth waiting for: its next calls would hang too.
    fn ask_whether_it_lives(&mut self) {
        // Where each request has a connection of its own, one tells nothing of the others.
        if self.wire.tells_abandoned || self.doubt.is_some() {
            return;
        }
        let modern = self.revision.is_some_and(Revision::is_modern);
        let ping = if modern { Body::Discover } else { Body::Ping };
        let letter = ping.letter(PING, self.revision, false, &self.terms.voice);
        let sent = letter.is_ok_and(|letter| self.dispatch(letter).is_ok());
        // One that does not even read is asked by what it was sent before.
        tracing::debug!(server = self.terms.server, sent, "asked whether it lives");
        let newest = self.pending.keys().copied().max().unwrap_or(0);
        self.doubt = Some(Doubt { until: Instant::now() + self.silence(), newest });
    }

    /// How long it may be silent: what it was asked last may keep it busy so long.
    fn silence(&self) -> Duration {
        self.terms.call_timeout.max(SILENCE_MIN)
    }

    /// Whether it counts as dead. While there is something older than the doubt that it may be working
    /// on, and whose time is not over, it does not.
    fn is_silent(&mut self) -> bool {
        let until = Instant::now() + self.silence();
        let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.until <= Instant::now()) else {
            return false;
        };
        let works =
            |(id, waiting): (&i64, &Pending)| *id <= doubt.newest && !waiting.is_subscription();
        let busy = self.pending.iter().any(works);
        if busy {
            doubt.until = until;
        }
        !busy
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
        self.doubt = None;
        match incoming {
            Incoming::Message { packet, only_answer_to, via } => {
                if packet.bytes.trim_ascii_start().starts_with(b"[") {
                    self.batch(&packet.bytes, via);
                } else {
                    self.message(packet, via);
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
            Incoming::Paused { id, retry_ms } => self.paused(id, retry_ms),
            Incoming::Resumed => self.terms.news.raise(Lists::ALL),
        }
    }

    fn batch(&mut self, bytes: &[u8], via: Option<i64>) {
        match serde_json::from_slice::<views::Batch<'_>>(bytes) {
            Ok(batch) => {
                for message in batch.0 {
                    let bytes = message.get().as_bytes().to_vec();
                    self.message(Packet { bytes, room: Room::default() }, via);
                }
            }
            Err(e) => self.malformed(bytes, &e.to_string()),
        }
    }

    fn message(&mut self, packet: Packet, via: Option<i64>) {
        match Message::parse(&packet.bytes) {
            Ok(Message::Response { id, outcome }) => {
                let id = number(&id).unwrap_or(0);
                match outcome {
                    Ok(result) => {
                        let place = place(&packet.bytes, result);
                        // What is passed on leaves as a text of its own: cut out now, it need not
                        // be read again.
                        let own = self.is_for_client(id).then(|| result.to_owned());
                        self.answer(id, |limit| told(packet, place, own, limit));
                    }
                    Err(error) => self.answer(id, |_| Err(Failure::Rpc(error))),
                }
            }
            Ok(Message::Request { id, method, params }) => self.asked(&id, &method, params, via),
            Ok(Message::Notification { method, params }) => self.note(&method, params, via),
            Err(malformed) => self.malformed(&packet.bytes, &malformed.message),
        }
    }

    fn is_for_client(&self, id: i64) -> bool {
        self.pending.get(&id).is_some_and(|waiting| matches!(waiting.hears, Hears::Client(_)))
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
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Our own ids are numbers; some servers give them back as text.
fn number(id: &Id) -> Option<i64> {
    match id {
        Id::Number(number) => Some(*number),
        Id::Text(text) => text.parse().ok(),
    }
}

/// A result, if it is not larger than it may be. Parsed, it would take many times as much.
fn told(packet: Packet, place: Range<usize>, own: Option<Box<RawValue>>, limit: usize) -> Reply {
    let bytes = place.len();
    match own {
        _ if bytes > limit => Err(Failure::TooLarge { bytes, limit }),
        Some(own) => Ok(Told::own(own, packet.room)),
        None => Ok(Told::new(packet, place)),
    }
}

/// Where a part of a message is.
fn place(bytes: &[u8], part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr().addr() - bytes.as_ptr().addr();
    start..start + part.get().len()
}
