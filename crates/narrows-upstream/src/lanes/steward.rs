//! The owner of the lanes of one upstream.

use super::{Key, Lane, Lanes, NoLane, TURNS, Turn, Want};
use crate::board::{Cell, Connected};
use crate::keeper::{Opening, Started, Starter, take_up_late};
use crate::session::End;
use crate::wire::Failure;
use narrows_types::ClientSession;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Lanes of one upstream.
const LANES_MAX: usize = 64;
/// Those of one principal with one set of capabilities.
const POOL_MAX: usize = 8;

type Reply = oneshot::Sender<Result<Option<Turn>, NoLane>>;

enum Outcome {
    Opened {
        key: Key,
        reply: Option<Reply>,
        opened: Result<Box<Started>, Failure>,
    },
    Ended {
        number: u64,
        end: End,
    },
    /// One was subscribed to what was wished while it opened.
    Subscribed,
}

/// Opens lanes, and frees what is left of those that ended.
pub(crate) struct Steward {
    cell: Arc<Cell>,
    lanes: Arc<Lanes>,
    starter: Starter,
    wants: mpsc::Receiver<Want>,
    stop: CancellationToken,
    tasks: JoinSet<Outcome>,
    /// Sessions whose lane is opening, with all who wait for it. Whoever went away is not here.
    opening: HashMap<ClientSession, Vec<Reply>>,
    /// Lanes of pools that are opening.
    pooled: HashMap<Key, usize>,
    next_number: u64,
}

impl Steward {
    pub(crate) fn new(
        cell: Arc<Cell>,
        lanes: Arc<Lanes>,
        starter: Starter,
        wants: mpsc::Receiver<Want>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            cell,
            lanes,
            starter,
            wants,
            stop,
            tasks: JoinSet::new(),
            opening: HashMap::new(),
            pooled: HashMap::new(),
            next_number: 0,
        }
    }

    /// Serves until it is stopped; then all lanes and their processes are gone.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                want = self.wants.recv() => match want {
                    Some(Want::Open { key, opening, reply }) => self.open(key, opening, reply),
                    Some(Want::Farewell(session)) => self.farewell(session),
                    None => break,
                },
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => match done {
                    Ok(outcome) => self.take(outcome),
                    Err(broken) => tracing::error!(server = self.cell.name(), "a lane broke: {broken}"),
                },
            }
        }
        self.lanes.open.store(Arc::default());
        self.opening.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    fn open(&mut self, key: Key, opening: Box<Opening>, reply: Reply) {
        let reply = match key {
            Key::Session(session) => {
                if let Some(lane) = self.live(&key) {
                    let _gone = reply.send(Ok(self.lanes.turn(&lane)));
                    return;
                }
                if let Some(waiting) = self.opening.get_mut(&session) {
                    waiting.push(reply);
                    return;
                }
                if !self.has_room() {
                    let _gone = reply.send(Err(self.full()));
                    return;
                }
                self.opening.insert(session, vec![reply]);
                None
            }
            Key::Pool { .. } => {
                let open = self.lanes.open.load().get(&key).map_or(0, Vec::len);
                let under_way = self.pooled.get(&key).copied().unwrap_or(0);
                if open + under_way >= POOL_MAX || !self.has_room() {
                    let refusal = if open > 0 { NoLane::Full } else { self.full() };
                    let _gone = reply.send(Err(refusal));
                    return;
                }
                *self.pooled.entry(key.clone()).or_default() += 1;
                Some(reply)
            }
        };
        let starter = self.starter.clone();
        self.tasks.spawn(async move {
            let opened = starter.open_as(&opening).await.map(Box::new);
            Outcome::Opened { key, reply, opened }
        });
    }

    /// The lane of a session that takes requests.
    fn live(&self, key: &Key) -> Option<Arc<Lane>> {
        let open = self.lanes.open.load();
        let lane = open.get(key)?.first()?;
        Some(lane).filter(|lane| !lane.connected.peer.is_closed()).cloned()
    }

    /// Whether there is room for another lane, if need be after the end of one that nobody uses.
    fn has_room(&self) -> bool {
        let open = self.lanes.open.load();
        let lanes: usize = open.values().map(Vec::len).sum();
        let opening = self.opening.len() + self.pooled.values().sum::<usize>();
        if lanes + opening < LANES_MAX {
            return true;
        }
        // One that may be ended before one that somebody may come back to, the oldest first.
        let idle = open.iter().flat_map(|(key, lanes)| lanes.iter().map(move |lane| (key, lane)));
        let idle = idle.filter(|(_, lane)| lane.is_idle() && !lane.stop.is_cancelled());
        let least = idle.min_by_key(|(key, lane)| {
            (matches!(key, Key::Session(_)), lane.used_ms.load(Ordering::Relaxed))
        });
        if let Some((_, lane)) = least {
            lane.stop.cancel();
        }
        least.is_some()
    }

    fn full(&self) -> NoLane {
        NoLane::Failed(crate::error::UpstreamError::Busy {
            server: self.cell.name().to_owned(),
            reason: format!("{LANES_MAX} clients have a connection of their own"),
            retry_ms: 1_000,
        })
    }

    fn farewell(&mut self, session: ClientSession) {
        self.opening.remove(&session);
        for lane in self.lanes.open.load().get(&Key::Session(session)).into_iter().flatten() {
            lane.stop.cancel();
        }
    }

    fn take(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Opened { key, reply, opened } => {
                let waiting = match (&key, reply) {
                    (Key::Session(session), _) => self.opening.remove(session),
                    (Key::Pool { .. }, reply) => {
                        self.less(&key);
                        Some(reply.into_iter().collect())
                    }
                };
                self.opened(key, waiting, opened);
            }
            Outcome::Subscribed => {}
            Outcome::Ended { number, end } => {
                if let End::Lost(reason) = end {
                    tracing::warn!(server = self.cell.name(), "a client's connection: {reason}");
                }
                self.change(|open| {
                    open.retain(|_, lanes| {
                        lanes.retain(|lane| lane.number != number);
                        !lanes.is_empty()
                    });
                });
            }
        }
    }

    fn less(&mut self, key: &Key) {
        if let Some(count) = self.pooled.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.pooled.remove(key);
            }
        }
    }

    /// Tells those who wait. Nobody waits for the lane of a client that went away meanwhile.
    fn opened(
        &mut self,
        key: Key,
        waiting: Option<Vec<Reply>>,
        opened: Result<Box<Started>, Failure>,
    ) {
        let refusal = match opened {
            Ok(started) => {
                let wanted = waiting.as_ref().map(Vec::len);
                let mut turns = self.up(key, *started, wanted).into_iter();
                for reply in waiting.into_iter().flatten() {
                    let _gone = reply.send(Ok(turns.next()));
                }
                return;
            }
            // Whatever it says to `initialize`, it is no legacy server to us.
            Err(
                Failure::Rpc(_) | Failure::Timeout | Failure::Http { .. } | Failure::Protocol(_),
            ) if self.cell.is_modern() == Some(true) => NoLane::Era,
            Err(failure) => NoLane::Failed(self.starter.error(&failure)),
        };
        for reply in waiting.into_iter().flatten() {
            let _gone = reply.send(Err(refusal.clone()));
        }
    }

    /// A lane is there; gives turns on it for those who wait. They are taken before anybody sees it:
    /// a lane that nobody uses may have to make room for another at any time.
    fn up(&mut self, key: Key, started: Started, wanted: Option<usize>) -> Vec<Turn> {
        let Started { peer, agreed, heard, session, stop } = started;
        let one_by_one = matches!(key, Key::Pool { .. }) && !self.cell.over_http();
        let turns_max = if one_by_one { 1 } else { TURNS };
        self.next_number += 1;
        let number = self.next_number;
        if wanted.is_none() {
            stop.cancel();
        }
        let lane = Arc::new(Lane {
            connected: Arc::new(Connected::new(peer, agreed)),
            number,
            turns: Arc::new(Semaphore::new(turns_max)),
            turns_max,
            used_ms: AtomicU64::new(0),
            stop,
        });
        let turns = (0..wanted.unwrap_or(0)).map_while(|_| self.lanes.turn(&lane)).collect();
        self.tasks.spawn(async move { Outcome::Ended { number, end: session.await } });
        let kept = Arc::clone(&lane);
        let who = match &key {
            Key::Session(session) => Some(*session),
            Key::Pool { .. } => None,
        };
        self.change(|open| open.entry(key).or_default().push(kept));
        let connected = Arc::clone(&lane.connected);
        if let Some(late) = take_up_late(&self.cell, connected, who, &heard) {
            self.tasks.spawn(async move {
                late.await;
                Outcome::Subscribed
            });
        }
        turns
    }

    fn change(&self, change: impl FnOnce(&mut super::Open)) {
        let mut open = super::Open::clone(&self.lanes.open.load());
        change(&mut open);
        self.lanes.open.store(Arc::new(open));
    }
}
