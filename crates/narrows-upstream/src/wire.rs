//! What a transport carries between an upstream and its session.
//!
//! A transport is a pair of bounded channels and a future that drives them: a child process or an
//! HTTP endpoint. The session above knows nothing of either.

use narrows_protocol::{Revision, RpcError};
use serde_json::value::RawValue;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Messages that wait on either side of a transport.
const WAITING_MAX: usize = 256;
/// Bytes of one message from an upstream.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Bytes of all messages from one upstream that we hold, answers included until they are read.
const INCOMING_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// Bytes of all messages to one upstream that wait to be written.
const OUTGOING_BYTES_MAX: usize = 64 << 20;

/// To an upstream.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A message on one line.
    Message(Letter),
    /// Nobody waits for this request any more.
    Abandon(i64),
}

/// A message with what HTTP repeats in headers.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) body: String,
    /// If it is a request.
    pub(crate) id: Option<i64>,
    /// Empty for a response.
    pub(crate) method: &'static str,
    /// The tool that it is about.
    pub(crate) name: Option<String>,
    /// Once it is agreed on, or as it is proposed.
    pub(crate) revision: Option<Revision>,
    /// Arguments that the tool wants repeated: header and value.
    pub(crate) mirrored: Vec<(String, String)>,
    /// What it takes of what may wait.
    pub(crate) room: Room,
}

/// From an upstream.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// One message. If `only_answer_to` names a request, there is no other answer to it. `via` is
    /// the request whose stream it came on, where a transport has one for each.
    Message { packet: Packet, only_answer_to: Option<i64>, via: Option<i64> },
    /// The upstream closed the stream of this request; its answer is asked for after so long.
    Paused { id: i64, retry_ms: u64 },
    /// The transport could not deliver this request, or got no answer to it.
    Failed { id: i64, failure: Failure },
    /// The upstream forgot the session: what is under way may still be answered, no more is sent.
    Expired,
    /// Its own messages are heard again after a while of silence; some may be missed.
    Resumed,
}

/// Bytes that may be held at once, in units of 1 KiB.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A part of a budget, given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Budget {
    pub(crate) fn incoming() -> Self {
        Self(Arc::new(Semaphore::new(INCOMING_BYTES_MAX >> 10)))
    }

    fn outgoing() -> Self {
        Self(Arc::new(Semaphore::new(OUTGOING_BYTES_MAX >> 10)))
    }

    fn units(bytes: usize) -> u32 {
        u32::try_from((bytes >> 10) + 1).unwrap_or(u32::MAX)
    }

    /// Waits for room.
    pub(crate) async fn room(&self, bytes: usize) -> Room {
        // It is never closed.
        Room(Arc::clone(&self.0).acquire_many_owned(Self::units(bytes)).await.ok())
    }

    /// Room, if there is some now.
    pub(crate) fn room_now(&self, bytes: usize) -> Option<Room> {
        let permit = Arc::clone(&self.0).try_acquire_many_owned(Self::units(bytes));
        permit.ok().map(|permit| Room(Some(permit)))
    }
}

impl Room {
    /// Takes up another part of the same budget.
    pub(crate) fn join(&mut self, more: Self) {
        match (&mut self.0, more.0) {
            (Some(held), Some(more)) => held.merge(more),
            (held, more) => *held = held.take().or(more),
        }
    }
}

/// The bytes of a message, with the room that they take.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) room: Room,
}

/// A result where it came: a part of a message, which is not copied, or a text of its own.
#[derive(Debug)]
pub(crate) enum Told {
    Part {
        packet: Packet,
        place: Range<usize>,
    },
    Own {
        text: Box<RawValue>,
        #[expect(dead_code, reason = "held for what its end does: there is room again")]
        room: Room,
    },
}

impl Told {
    /// The part of a packet at `place`.
    pub(crate) fn new(packet: Packet, place: Range<usize>) -> Self {
        Self::Part { packet, place }
    }

    /// A text of its own, with the room that it takes.
    pub(crate) fn own(text: Box<RawValue>, room: Room) -> Self {
        Self::Own { text, room }
    }

    /// A text of its own.
    pub(crate) fn text(text: &str) -> Self {
        let packet = Packet { bytes: text.as_bytes().to_vec(), room: Room::default() };
        Self::Part { packet, place: 0..text.len() }
    }

    /// The text.
    pub(crate) fn get(&self) -> &str {
        match self {
            Self::Part { packet, place } => {
                let bytes = packet.bytes.get(place.clone()).unwrap_or_default();
                // It was parsed, so that it is text.
                std::str::from_utf8(bytes).unwrap_or_default()
            }
            Self::Own { text, .. } => text.get(),
        }
    }

    /// The text as a value of its own; the room is given back.
    pub(crate) fn into_raw(self) -> serde_json::Result<Box<RawValue>> {
        match self {
            Self::Part { .. } => RawValue::from_string(self.get().to_owned()),
            Self::Own { text, .. } => Ok(text),
        }
    }
}

/// A transport in operation: it ends when the outgoing side is dropped.
pub(crate) struct Wire {
    pub(crate) outgoing: mpsc::Sender<Outgoing>,
    pub(crate) incoming: mpsc::Receiver<Incoming>,
    /// What may wait in `outgoing`.
    pub(crate) outgoing_budget: Budget,
    /// Giving up a request tells a modern upstream by itself.
    pub(crate) tells_abandoned: bool,
    /// Must be polled for anything to happen. Resolves, with the reason, when the transport has
    /// ended and everything of it is gone.
    pub(crate) driver: Driver,
}

/// What moves a transport.
pub(crate) type Driver = Pin<Box<dyn Future<Output = String> + Send>>;

impl Wire {
    /// A transport that `drive` moves, given its ends of the channels.
    pub(crate) fn new<D>(
        tells_abandoned: bool,
        drive: impl FnOnce(mpsc::Receiver<Outgoing>, mpsc::Sender<Incoming>) -> D,
    ) -> Self
    where
        D: Future<Output = String> + Send + 'static,
    {
        let (outgoing, to_send) = mpsc::channel(WAITING_MAX);
        let (received, incoming) = mpsc::channel(WAITING_MAX);
        let driver = Box::pin(drive(to_send, received));
        let outgoing_budget = Budget::outgoing();
        Self { outgoing, incoming, outgoing_budget, tells_abandoned, driver }
    }
}

/// Why a request got no result.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The upstream answered with an error.
    Rpc(RpcError),
    /// The deadline passed.
    Timeout,
    /// The connection is gone; `sent` tells whether the upstream may have seen the request.
    Lost { reason: String, sent: bool },
    /// We ended the connection after the request was sent. It tells nothing of the upstream.
    Stopped,
    /// Credentials are missing or wrong.
    Refused { status: u16 },
    /// Only a login by a person helps.
    Login { reason: String },
    /// An HTTP status that says no.
    Http { status: u16, reason: String },
    /// The upstream, or we, have too much to do.
    Busy { reason: String, retry_ms: u64 },
    /// The answer is none.
    Protocol(String),
    /// The answer is larger than what was asked for allows.
    TooLarge { bytes: usize, limit: usize },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rpc(error) => {
                write!(f, "it answered with error {}: {}", error.code, error.message)
            }
            Self::Timeout => f.write_str("it did not answer in time"),
            Self::Stopped => f.write_str("it was stopped"),
            Self::Lost { reason, .. }
            | Self::Busy { reason, .. }
            | Self::Login { reason }
            | Self::Protocol(reason) => f.write_str(reason),
            Self::Refused { status } => {
                write!(f, "it refused our credentials (HTTP {status}); set `headers` in the config")
            }
            Self::Http { status, reason } => write!(f, "HTTP {status}: {reason}"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "it answered {bytes} bytes; the limit is {limit}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, MESSAGE_BYTES_MAX, Packet, Room, Told};

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let budget = Budget::incoming();
        let mut held = budget.room_now(MESSAGE_BYTES_MAX).unwrap();
        assert!(budget.room_now(MESSAGE_BYTES_MAX).is_none(), "each part takes a little more");
        held.join(budget.room_now(MESSAGE_BYTES_MAX / 2).unwrap());
        assert!(budget.room_now(MESSAGE_BYTES_MAX).is_none());
        let told = Told::new(Packet { bytes: b"[ 12 ]".to_vec(), room: held }, 2..4);
        assert_eq!(told.get(), "12");
        assert!(budget.room_now(MESSAGE_BYTES_MAX).is_none(), "an answer is held until it is read");
        drop(told);
        assert!(budget.room_now(MESSAGE_BYTES_MAX).is_some());
        let mut none = Room::default();
        none.join(budget.room_now(1).unwrap());
        assert!(none.0.is_some());
    }
}
