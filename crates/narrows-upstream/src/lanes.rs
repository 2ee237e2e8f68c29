//! Lanes: connections of an upstream that declare what one client declared, so that the upstream
//! can ask it. A legacy client has one for its session; modern clients towards legacy upstreams
//! have some for each principal and set of capabilities.

mod steward;

pub(crate) use steward::Steward;

use crate::board::{Cell, Connected};
use crate::error::UpstreamError;
use crate::keeper::Opening;
use crate::session::{Introduction, Voice};
use arc_swap::ArcSwap;
use futures_util::future::select_all;
use narrows_types::raw::{self, Edit};
use narrows_types::{Client, ClientSession};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Wants that wait for one steward.
const WANTS_MAX: usize = 1_024;
/// Requests at once on a lane where a question tells to which of them it belongs.
const TURNS: usize = 256;
/// How long a lane of many requests is kept while nobody uses it.
const POOLED_IDLE: Duration = Duration::from_mins(1);
/// The same for that of a session, which ends with the session if we hear of it.
const BOUND_IDLE: Duration = Duration::from_mins(30);

/// Whose lane it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A conversation's.
    Session(ClientSession),
    /// Any request's of this principal that declares this.
    Pool { principal: Box<str>, capabilities: Box<str> },
}

/// One connection for one client.
pub(crate) struct Lane {
    pub(crate) connected: Arc<Connected>,
    number: u64,
    turns: Arc<Semaphore>,
    turns_max: usize,
    /// When it was used last, in milliseconds of its cell's life.
    used_ms: AtomicU64,
    stop: CancellationToken,
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.turns.available_permits() == self.turns_max
    }
}

/// A lane that is used for a request.
pub(crate) struct Turn {
    pub(crate) lane: Arc<Lane>,
    #[expect(dead_code, reason = "held for what its end does: it is the next one's turn")]
    permit: OwnedSemaphorePermit,
}

/// Why there is no lane.
#[derive(Debug, Clone)]
pub(crate) enum NoLane {
    /// The upstream does not speak the legacy era.
    Era,
    /// So many lanes are open that one of them is to be waited for.
    Full,
    Failed(UpstreamError),
}

/// What others want of the steward.
pub(crate) enum Want {
    Open {
        key: Key,
        opening: Box<Opening>,
        /// A turn, so that nobody ends the lane before it is used; none if others took them all.
        reply: oneshot::Sender<Result<Option<Turn>, NoLane>>,
    },
    /// A client went away.
    Farewell(ClientSession),
}

type Open = HashMap<Key, Vec<Arc<Lane>>>;

/// The lanes of one upstream, for all to use.
pub(crate) struct Lanes {
    open: ArcSwap<Open>,
    wants: mpsc::Sender<Want>,
    born: Instant,
    us: Arc<Introduction>,
    /// It was found out that it speaks the modern era only.
    modern_only: AtomicBool,
}

impl Lanes {
    /// No lanes, and what their steward listens to.
    pub(crate) fn new(us: Arc<Introduction>) -> (Self, mpsc::Receiver<Want>) {
        let (wants, heard) = mpsc::channel(WANTS_MAX);
        let lanes = Self {
            open: ArcSwap::default(),
            wants,
            born: Instant::now(),
            us,
            modern_only: AtomicBool::new(false),
        };
        (lanes, heard)
    }

    /// Whether it is known to speak the modern era only.
    pub(crate) fn modern_only(&self) -> bool {
        self.modern_only.load(Ordering::Acquire)
    }

    pub(crate) fn set_modern_only(&self, so: bool) {
        self.modern_only.store(so, Ordering::Release);
    }

    /// A client went away: its lanes end. Gives false if the steward could not be told.
    pub(crate) fn farewell(&self, session: ClientSession) -> bool {
        for lane in self.open.load().get(&Key::Session(session)).into_iter().flatten() {
            lane.stop.cancel();
        }
        // One may be opening.
        self.wants.try_send(Want::Farewell(session)).is_ok()
    }

    /// The connection of a conversation, if it has one.
    pub(crate) fn of_session(&self, session: ClientSession) -> Option<Arc<Connected>> {
        let open = self.open.load();
        let lane = open.get(&Key::Session(session))?.first()?;
        Some(Arc::clone(&lane.connected))
    }

    /// The connections of those who have no conversation.
    pub(crate) fn of_pools(&self) -> Vec<Arc<Connected>> {
        let open = self.open.load();
        let pools = open.iter().filter(|(key, _)| matches!(key, Key::Pool { .. }));
        pools.flat_map(|(_, lanes)| lanes).map(|lane| Arc::clone(&lane.connected)).collect()
    }

    /// A lane that has a turn now.
    fn free(&self, key: &Key) -> Option<Turn> {
        let open = self.open.load();
        open.get(key)?.iter().find_map(|lane| self.turn(lane))
    }

    fn turn(&self, lane: &Arc<Lane>) -> Option<Turn> {
        let sound = !lane.connected.peer.is_closed();
        let permit = Arc::clone(&lane.turns).try_acquire_owned().ok().filter(|_| sound)?;
        Some(self.taken(lane, permit))
    }

    fn taken(&self, lane: &Arc<Lane>, permit: OwnedSemaphorePermit) -> Turn {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        lane.used_ms.store(now, Ordering::Relaxed);
        Turn { lane: Arc::clone(lane), permit }
    }

    /// Waits for a turn on any of those that are open.
    async fn any(&self, key: &Key) -> Option<Turn> {
        let lanes = self.open.load().get(key).cloned().unwrap_or_default();
        if lanes.is_empty() {
            return None;
        }
        let waits = lanes.iter().map(|lane| Box::pin(Arc::clone(&lane.turns).acquire_owned()));
        let (permit, at, _) = select_all(waits).await;
        let lane = lanes.get(at)?;
        permit.ok().map(|permit| self.taken(lane, permit))
    }
}

/// A lane for this client. Ends with the caller's deadline.
pub(crate) async fn take(
    cell: &Cell,
    lanes: &Lanes,
    principal: &str,
    client: &Client,
) -> Result<Turn, NoLane> {
    let capabilities = declared(client);
    let key = match client.session.filter(|_| !client.modern) {
        Some(session) => Key::Session(session),
        None => Key::Pool { principal: principal.into(), capabilities: capabilities.get().into() },
    };
    let stopped = || {
        NoLane::Failed(UpstreamError::Lost {
            server: cell.name().to_owned(),
            reason: "narrows is stopping".to_owned(),
            sent: false,
        })
    };
    loop {
        if let Some(turn) = lanes.free(&key) {
            return Ok(turn);
        }
        let bound = matches!(key, Key::Session(_));
        let opening = Opening {
            voice: Voice {
                us: Arc::clone(&lanes.us),
                info: client.info.clone(),
                capabilities: Some(Arc::clone(&capabilities)),
            },
            back: client.back.clone().filter(|_| bound),
            who: client.session.filter(|_| bound),
            era: crate::config::Era::Legacy,
            idle_stop: Some(if bound { BOUND_IDLE } else { POOLED_IDLE }),
        };
        let (reply, opened) = oneshot::channel();
        let want = Want::Open { key: key.clone(), opening: Box::new(opening), reply };
        lanes.wants.send(want).await.map_err(|_gone| stopped())?;
        match opened.await.unwrap_or_else(|_gone| Err(stopped())) {
            Ok(Some(turn)) => return Ok(turn),
            // Somebody was faster.
            Ok(None) => {}
            Err(NoLane::Full) => match lanes.any(&key).await {
                Some(turn) => return Ok(turn),
                None => return Err(NoLane::Full),
            },
            Err(other) => return Err(other),
        }
    }
}

/// What a client declared and we can pass on. Tasks of a legacy client are its own: nobody could
/// ask for their state through us.
pub(crate) fn declared(client: &Client) -> Arc<RawValue> {
    let Some(declared) = &client.capabilities else {
        return RawValue::from_string("{}".to_owned())
            .unwrap_or_else(|_broken| RawValue::NULL.to_owned())
            .into();
    };
    if client.modern || !declared.get().contains("\"tasks\"") {
        return Arc::clone(declared);
    }
    match raw::edit(declared.get(), &[Edit::Remove("tasks")]) {
        Ok(rest) => RawValue::from_string(rest.into_owned())
            .map_or_else(|_broken| Arc::clone(declared), Arc::from),
        Err(_broken) => Arc::clone(declared),
    }
}

/// Whether a client declared that it can be asked something.
pub(crate) fn can_be_asked(client: &Client) -> bool {
    const KEYS: [&str; 3] = ["sampling", "elicitation", "roots"];
    let Some(declared) = client.capabilities.as_deref() else { return false };
    // Most clients declare nothing, and this is asked of each request.
    if !KEYS.iter().any(|key| declared.get().contains(key)) {
        return false;
    }
    KEYS.iter().any(|key| raw::get(declared.get(), key).is_some())
}

#[cfg(test)]
mod tests {
    use super::{can_be_asked, declared};
    use narrows_types::Client;
    use serde_json::value::RawValue;

    fn client(capabilities: &str) -> Client {
        let capabilities = RawValue::from_string(capabilities.to_owned()).unwrap();
        Client { capabilities: Some(capabilities.into()), ..Client::default() }
    }

    #[test]
    fn who_can_be_asked_and_what_is_declared() {
        for (capabilities, asked, passed) in [
            ("{}", false, "{}"),
            (r#"{"roots":{}}"#, true, r#"{"roots":{}}"#),
            (r#"{"experimental":{"sampling":1}}"#, false, r#"{"experimental":{"sampling":1}}"#),
            (
                r#"{"elicitation":{"url":{}}, "tasks":{"list":{}}}"#,
                true,
                r#"{"elicitation":{"url":{}}}"#,
            ),
        ] {
            let client = client(capabilities);
            assert_eq!(can_be_asked(&client), asked, "{capabilities}");
            assert_eq!(declared(&client).get(), passed);
        }
        assert!(!can_be_asked(&Client::default()));
        assert_eq!(declared(&Client::default()).get(), "{}");
    }
}
