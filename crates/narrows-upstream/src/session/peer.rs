//! The side of a session that others hold: asking, waiting, giving up.

use super::body::Voice;
use super::clock::Clock;
use super::{Body, PENDING_MAX, Reply, Wanted};
use crate::wire::{Failure, Letter, MESSAGE_BYTES_MAX};
use narrows_protocol::Revision;
use narrows_types::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Requests that wait to be taken up.
const ASKS_MAX: usize = 256;
/// Requests that were given up and that the session did not hear of yet. Each was asked before, so
/// that there is always room.
const CANCELS_MAX: usize = 2 * (ASKS_MAX + PENDING_MAX);

/// Who hears what the upstream tells while a request is under way.
#[derive(Debug, Default)]
pub(crate) enum Hears {
    #[default]
    Nobody,
    /// A program: progress as a fraction.
    Program(mpsc::Sender<Event>),
    /// A client: all that belongs to its request, as it came.
    Client(Listener),
    /// Who waits for a subscription to be acknowledged.
    Begun(Option<oneshot::Sender<()>>),
}

impl Listener {
    /// Whether it is behind.
    pub(super) fn is_full(&self) -> bool {
        self.events.as_ref().is_some_and(|events| events.capacity() == 0 && !events.is_closed())
    }

    /// Tells the client, or gives the event back.
    pub(super) fn tell(&self, event: Event) -> Result<(), Event> {
        match &self.events {
            Some(events) => events.try_send(event).map_err(mpsc::error::TrySendError::into_inner),
            None => Err(event),
        }
    }
}

/// A client that hears all that belongs to its request.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Where it hears; none hears nothing but the answer.
    pub(crate) events: Option<mpsc::Sender<Event>>,
    /// The time that it takes to answer questions is not the upstream's.
    pub(crate) clock: Arc<Clock>,
    /// The least severe log message that it wants, by its rank; none wants none.
    pub(crate) severity: Option<u8>,
}

/// A request to the session.
pub(super) struct Ask {
    pub(super) letter: Letter,
    pub(super) hears: Hears,
    pub(super) result_bytes: usize,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// Nobody waits for a request any more.
pub(super) struct Cancel {
    pub(super) id: i64,
    pub(super) late: bool,
}

/// How the rest of the house speaks to a session. Dropping the future of a request cancels it.
#[derive(Clone)]
pub(crate) struct Peer {
    asks: mpsc::Sender<Ask>,
    cancels: mpsc::Sender<Cancel>,
    next_id: Arc<AtomicI64>,
    /// Requests that wait for their answer.
    under_way: Arc<AtomicUsize>,
    voice: Arc<Voice>,
    introduction: Arc<str>,
}

/// A caller that waits. If it goes away, the session hears of it.
struct Caller<'a> {
    cancels: &'a mpsc::Sender<Cancel>,
    /// Its request, until that is answered.
    waits_for: Option<i64>,
    late: bool,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.waits_for {
            // A session that is gone has nothing to cancel.
            let _gone = self.cancels.try_send(Cancel { id, late: self.late });
        }
    }
}

/// A request that waits for its answer, while this is held.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(peer: &'a Peer) -> Self {
        peer.under_way.fetch_add(1, Ordering::Relaxed);
        Self(&peer.under_way)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Peer {
    /// How many requests wait for their answer.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// A peer, and what its session listens to.
    pub(super) fn new(voice: Voice) -> (Self, mpsc::Receiver<Ask>, mpsc::Receiver<Cancel>) {
        let (asks, to_do) = mpsc::channel(ASKS_MAX);
        let (cancels, given_up) = mpsc::channel(CANCELS_MAX);
        // Ids are numbers from 1.
        let next_id = Arc::new(AtomicI64::new(1));
        // A name and a version are always JSON.
        let introduction = serde_json::to_string(&*voice.us).unwrap_or_default().into();
        let voice = Arc::new(voice);
        let under_way = Arc::default();
        let peer = Self { asks, cancels, next_id, under_way, voice, introduction };
        (peer, to_do, given_up)
    }

    /// Whether the session takes no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.asks.is_closed()
    }

    /// Whether the connection is for one client.
    pub(crate) fn is_own(&self) -> bool {
        self.voice.capabilities.is_some()
    }

    /// How we introduce ourselves, a JSON object.
    pub(crate) fn introduction(&self) -> &str {
        &self.introduction
    }

    /// The id of the next request.
    pub(crate) fn next_id(&self) -> i64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks and waits until the deadline (for ever if there is none).
    pub(crate) async fn ask(
        &self,
        body: Body,
        revision: Option<Revision>,
        deadline: Option<Instant>,
    ) -> Reply {
        self.ask_for(MESSAGE_BYTES_MAX, body, revision, deadline, None).await
    }

    /// The same, with a bound on the bytes of the result.
    pub(crate) async fn ask_for(
        &self,
        result_bytes: usize,
        body: Body,
        revision: Option<Revision>,
        deadline: Option<Instant>,
        progress: Option<mpsc::Sender<Event>>,
    ) -> Reply {
        let letter = body
            .letter(self.next_id(), revision, progress.is_some(), &self.voice)
            .map_err(|e| Failure::Protocol(format!("the request cannot be written: {e}")))?;
        let hears = progress.map_or(Hears::Nobody, Hears::Program);
        self.send(letter, hears, result_bytes, deadline).await
    }

    /// Listens until that ends; `begun` is told when the upstream acknowledged it.
    pub(crate) async fn listen(
        &self,
        wanted: Wanted,
        revision: Option<Revision>,
        begun: oneshot::Sender<()>,
    ) -> Reply {
        let letter = Body::Listen(wanted)
            .letter(self.next_id(), revision, false, &self.voice)
            .map_err(|e| Failure::Protocol(format!("the request cannot be written: {e}")))?;
        self.send(letter, Hears::Begun(Some(begun)), MESSAGE_BYTES_MAX, None).await
    }

    /// Sends a request that is written already.
    pub(crate) async fn send(
        &self,
        letter: Letter,
        hears: Hears,
        result_bytes: usize,
        deadline: Option<Instant>,
    ) -> Reply {
        let id = letter.id;
        // What is told as it comes is no work.
        let _counted = (letter.method != "subscriptions/listen").then(|| Counted::new(self));
        let (reply, mut answer) = oneshot::channel();
        let clock = match &hears {
            Hears::Client(listener) => Some(Arc::clone(&listener.clock)),
            Hears::Nobody | Hears::Program(_) | Hears::Begun(_) => None,
        };
        self.hand_over(Ask { letter, hears, result_bytes, reply }, deadline).await?;
        let mut caller = Caller { cancels: &self.cancels, waits_for: id, late: false };
        let mut until = deadline;
        let answer = loop {
            let Some(at) = until else { break answer.await };
            match tokio::time::timeout_at(at, &mut answer).await {
                Ok(answer) => break answer,
                Err(_elapsed) => {
                    until = deadline.zip(clock.as_ref()).map(|(at, clock)| clock.later(at));
                    if until.is_none_or(|until| until <= Instant::now()) {
                        caller.late = true;
                        return Err(Failure::Timeout);
                    }
                }
            }
        };
        caller.waits_for = None;
        answer.unwrap_or_else(|_dropped| Err(gone(true)))
    }

    async fn hand_over(&self, ask: Ask, deadline: Option<Instant>) -> Result<(), Failure> {
        let ask = match self.asks.try_send(ask) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(gone(false)),
            Err(mpsc::error::TrySendError::Full(ask)) => ask,
        };
        let sent = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, self.asks.send(ask)).await,
            None => Ok(self.asks.send(ask).await),
        };
        match sent {
            Ok(sent) => sent.map_err(|_closed| gone(false)),
            Err(_elapsed) => Err(Failure::Timeout),
        }
    }
}

pub(super) fn gone(sent: bool) -> Failure {
    Failure::Lost { reason: "the connection ended".to_owned(), sent }
}
