//! The side of a session that others hold: asking, waiting, giving up.

use super::{Body, PENDING_MAX, Reply};
use crate::wire::{Failure, MESSAGE_BYTES_MAX};
use narrows_protocol::Revision;
use narrows_types::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Requests that wait to be taken up.
const ASKS_MAX: usize = 256;
/// Requests that were given up and that the session did not hear of yet. Each was asked before, so
/// that there is always room.
const CANCELS_MAX: usize = 2 * (ASKS_MAX + PENDING_MAX);

/// A request to the session.
pub(super) struct Ask {
    pub(super) id: i64,
    pub(super) body: Body,
    pub(super) revision: Option<Revision>,
    pub(super) progress: Option<mpsc::Sender<Event>>,
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

impl Peer {
    /// A peer, and what its session listens to.
    pub(super) fn new() -> (Self, mpsc::Receiver<Ask>, mpsc::Receiver<Cancel>) {
        let (asks, to_do) = mpsc::channel(ASKS_MAX);
        let (cancels, given_up) = mpsc::channel(CANCELS_MAX);
        // Ids are numbers from 1.
        (Self { asks, cancels, next_id: Arc::new(AtomicI64::new(1)) }, to_do, given_up)
    }

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
        self.ask_for(MESSAGE_BYTES_MAX, body, revision, deadline, progress).await
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
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        self.hand_over(Ask { id, body, revision, progress, result_bytes, reply }, deadline).await?;
        let mut caller = Caller { cancels: &self.cancels, waits_for: Some(id), late: false };
        let answer = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, answer).await,
            None => Ok(answer.await),
        };
        let Ok(answer) = answer else {
            caller.late = true;
            return Err(Failure::Timeout);
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
