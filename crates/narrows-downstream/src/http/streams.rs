//! Streams that a client may come back to (from 2025-11-25 on).
//!
//! Each has an id, and each of its events; what was said is kept for a while, so that a client
//! whose connection ended, or that was told to poll, goes on where it stopped. The request is
//! under way in a task of its own meanwhile. It is cancelled when nobody came back in time.

use super::delivery::{Reply, Sent, events};
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream::{self, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// The header with which a client comes back.
pub(super) const LAST_EVENT: &str = "last-event-id";
/// Streams of one session that are kept at once; beyond it answers are not streamed.
const STREAMS_MAX: usize = 64;
/// Bytes of what was said before the answer, and events, that are kept of one stream.
const SAID_BYTES_MAX: usize = 256 << 10;
const SAID_MAX: usize = 256;
/// KiB of answers that are kept for clients that may not have got them, of all sessions together.
const KEPT_KIB_MAX: usize = 32 << 10;
/// How long an answer is kept.
const KEEP: Duration = Duration::from_millis(if cfg!(test) { 1_000 } else { 30_000 });
/// How long a request is under way for nobody: its client lost the connection, or was told to poll.
const LOST_WAIT: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 15_000 });
const POLL_WAIT: Duration = Duration::from_mins(2);
/// When a client that loses the connection is to come back.
const RETRY_MS: u64 = 500;
/// The longest that an upstream may make it wait.
const RETRY_MS_MAX: u64 = 60_000;

/// Room for answers that are kept.
#[derive(Clone)]
pub(crate) struct Shelf(Arc<Semaphore>);

impl Default for Shelf {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(KEPT_KIB_MAX)))
    }
}

/// The streams of one session. They end with it.
#[derive(Default)]
pub(crate) struct Streams {
    table: Mutex<Table>,
    shelf: Shelf,
}

#[derive(Default)]
struct Table {
    last: u64,
    logs: HashMap<u64, Arc<Log>>,
    pumps: JoinSet<()>,
}

type Log = watch::Sender<Said>;

/// What was said on a stream.
#[derive(Default)]
struct Said {
    events: VecDeque<One>,
    bytes: usize,
    last: u64,
    /// How often clients were told to poll, and when they are to come back.
    pauses: u64,
    retry_ms: u64,
    /// Nothing follows.
    over: bool,
}

struct One {
    number: u64,
    text: Arc<str>,
    /// It may be lost.
    minor: bool,
}

impl Said {
    fn push(&mut self, text: String, minor: bool) {
        self.last += 1;
        self.bytes += text.len();
        self.events.push_back(One { number: self.last, text: text.into(), minor });
        while self.events.len() > 1 && (self.bytes > SAID_BYTES_MAX || self.events.len() > SAID_MAX)
        {
            // Progress goes before questions, and the newest stays.
            let newest = self.events.len() - 1;
            let minor = self.events.iter().take(newest).position(|one| one.minor);
            let Some(gone) = self.events.remove(minor.unwrap_or(0)) else { return };
            self.bytes -= gone.text.len();
        }
    }
}

impl Streams {
    pub(crate) fn new(shelf: Shelf) -> Self {
        Self { shelf, table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code that can panic runs under the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one stream more can be kept.
    pub(super) fn has_room(&self) -> bool {
        self.table().logs.len() < STREAMS_MAX
    }

    /// Sends what `first` begins and `reply` goes on with.
    pub(super) fn open(self: &Arc<Self>, first: Option<Sent>, reply: Reply) -> Response {
        let mut table = self.table();
        while table.pumps.try_join_next().is_some() {}
        table.last += 1;
        let id = table.last;
        let log = Arc::new(watch::Sender::new(Said { retry_ms: RETRY_MS, ..Said::default() }));
        table.logs.insert(id, Arc::clone(&log));
        let reader = Reader { stream: id, heard: log.subscribe(), after: None, pauses: 0 };
        let streams = Arc::downgrade(self);
        let shelf = self.shelf.clone();
        table.pumps.spawn(async move {
            pump(first, reply, &log, shelf).await;
            forget(&streams, id);
        });
        drop(table);
        reader.respond(())
    }

    /// The rest of the stream that a client comes back to, if it is kept. `held` is kept until the
    /// response ends.
    pub(super) fn resume<T: Send + 'static>(
        &self,
        headers: &HeaderMap,
        held: T,
    ) -> Result<Response, T> {
        let found = position(headers).and_then(|(stream, after)| {
            let heard = self.table().logs.get(&stream)?.subscribe();
            let pauses = heard.borrow().pauses;
            Some(Reader { stream, heard, after: Some(after), pauses })
        });
        match found {
            Some(reader) => Ok(reader.respond(held)),
            None => Err(held),
        }
    }
}

/// The stream and the event that a client names.
fn position(headers: &HeaderMap) -> Option<(u64, u64)> {
    let (stream, event) = headers.get(LAST_EVENT)?.to_str().ok()?.split_once('-')?;
    Some((stream.parse().ok()?, event.parse().ok()?))
}

fn forget(streams: &Weak<Streams>, id: u64) {
    if let Some(streams) = streams.upgrade() {
        streams.table().logs.remove(&id);
    }
}

/// Writes down what a request says until it is answered or nobody listens any more, then keeps it
/// for a client that did not get all of it.
async fn pump(mut first: Option<Sent>, mut reply: Reply, log: &Log, shelf: Shelf) {
    let mut abandoned = std::pin::pin!(abandoned(log));
    let bytes = loop {
        let next = async {
            match first.take() {
                Some(first) => Some(first),
                None => reply.next().await,
            }
        };
        let sent = tokio::select! {
            biased;
            sent = next => sent,
            () = &mut abandoned => {
                tracing::debug!("a request is cancelled: its client did not come back");
                return;
            }
        };
        match sent {
            Some(Sent::Note(text)) => log.send_modify(|said| said.push(text, true)),
            Some(Sent::More(text)) => log.send_modify(|said| said.push(text, false)),
            Some(Sent::Pause(retry_ms)) => log.send_modify(|said| {
                said.pauses += 1;
                said.retry_ms = retry_ms.unwrap_or(RETRY_MS).min(RETRY_MS_MAX);
            }),
            Some(Sent::Last(_, text)) => {
                let bytes = text.len();
                log.send_modify(|said| {
                    said.push(text, false);
                    said.over = true;
                });
                break bytes;
            }
            None => {
                log.send_modify(|said| said.over = true);
                return;
            }
        }
    };
    // The request is over for its session.
    drop(reply);
    let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
    if let Ok(_room) = shelf.0.try_acquire_many_owned(kib.saturating_add(1)) {
        tokio::time::sleep(KEEP).await;
    }
}

/// Waits until nobody has listened for so long that nobody will.
async fn abandoned(log: &Log) {
    loop {
        log.closed().await;
        let polls = log.borrow().pauses > 0;
        tokio::time::sleep(if polls { POLL_WAIT } else { LOST_WAIT }).await;
        if log.is_closed() {
            return;
        }
    }
}

/// One client on a stream.
struct Reader {
    stream: u64,
    heard: watch::Receiver<Said>,
    /// The last event that it knows; none before the one that opens the stream.
    after: Option<u64>,
    pauses: u64,
}

enum Next {
    Event(Event),
    /// The last of this connection.
    Leave(Event),
    End,
}

impl Reader {
    fn respond<T: Send + 'static>(mut self, held: T) -> Response {
        let opening = self.opening();
        let response = events(stream::unfold(Some((self, held)), |state| async move {
            let (mut reader, held) = state?;
            match reader.next().await {
                Next::Event(event) => Some((Ok(event), Some((reader, held)))),
                Next::Leave(event) => Some((Ok(event), None)),
                Next::End => None,
            }
        }));
        let Some(opening) = opening else { return response };
        response.map(|rest| {
            let opening = stream::once(async { Ok(Bytes::from(opening)) });
            Body::from_stream(opening.chain(rest.into_data_stream()))
        })
    }

    /// What opens a new stream: a client that has an id can come back, whatever happens. It is
    /// written by hand because axum leaves out data that is empty, and clients want to see it.
    fn opening(&mut self) -> Option<String> {
        if self.after.is_some() {
            return None;
        }
        self.after = Some(0);
        let retry_ms = self.heard.borrow().retry_ms;
        Some(format!("id: {}\nretry: {retry_ms}\ndata: \n\n", self.name(0)))
    }

    async fn next(&mut self) -> Next {
        let after = self.after.unwrap_or(0);
        loop {
            {
                let said = self.heard.borrow_and_update();
                if let Some(one) = said.events.iter().find(|one| one.number > after) {
                    self.after = Some(one.number);
                    let (number, text) = (one.number, Arc::clone(&one.text));
                    drop(said);
                    return Next::Event(Event::default().id(self.name(number)).data(text));
                }
                if said.over {
                    return Next::End;
                }
                if said.pauses > self.pauses {
                    let retry = Duration::from_millis(said.retry_ms);
                    return Next::Leave(Event::default().retry(retry));
                }
            }
            if self.heard.changed().await.is_err() {
                return Next::End;
            }
        }
    }

    fn name(&self, event: u64) -> String {
        format!("{}-{event}", self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::{SAID_BYTES_MAX, SAID_MAX, Said, position};
    use axum::http::{HeaderMap, HeaderValue};

    #[test]
    fn what_is_kept_is_bounded_and_the_answer_stays() {
        let mut said = Said::default();
        said.push("question".to_owned(), false);
        for _ in 0..2 * SAID_MAX {
            said.push("progress".to_owned(), true);
        }
        assert_eq!(said.events.len(), SAID_MAX);
        assert_eq!(&*said.events[0].text, "question");
        said.push("x".repeat(2 * SAID_BYTES_MAX), false);
        assert_eq!(said.events.len(), 1, "the answer, however long");
        assert_eq!(said.bytes, 2 * SAID_BYTES_MAX);
        assert_eq!(said.events[0].number, said.last);
    }

    #[test]
    fn only_our_own_ids_are_understood() {
        let named = |id: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("last-event-id", HeaderValue::from_static(id));
            position(&headers)
        };
        assert_eq!(named("3-17"), Some((3, 17)));
        for odd in ["", "3", "3-", "-3", "a-b", "3-17-1", "99999999999999999999-1"] {
            assert_eq!(named(odd), None, "{odd}");
        }
        assert_eq!(position(&HeaderMap::new()), None);
    }
}
