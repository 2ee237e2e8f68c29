//! The life of one upstream: started when somebody needs it, listed, ended, started again.
//!
//! One task owns it and takes a closed set of events; everybody else reads what it publishes.

mod crew;
mod hear;
mod list;
mod pace;
mod start;

use crate::board::{Board, Cell, Connected};
use crate::cache::Cache;
use crate::error::UpstreamError;
use crate::health::jitter;
use crate::lanes::{Lanes, Steward};
use crate::listing::Offer;
use crate::session::End;
use crate::wire::Failure;
use crew::Mate;
use hear::Hearing;
use narrows_types::{ClientSession, ListKind, ServerState};
use pace::Pace;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use crew::Crew;
pub(crate) use hear::{Wish, take_up_late};
pub(crate) use start::{Means, Opening, Started, Starter};

/// The first pause after a failed start; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest pause after failed starts.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A connection that lived so long was sound: what ended it is not counted.
const SOUND_AFTER: Duration = Duration::from_secs(10);
/// Connections that die young in a row before there is a pause.
const YOUNG_DEATHS_MAX: u32 = 3;
/// The longest pause that is waited for, if the upstream served before.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who waits for a connection.
type Waiting = oneshot::Sender<Result<Arc<Connected>, UpstreamError>>;

/// What others want of the keeper.
pub(crate) enum Want {
    /// A connection.
    Connection(Waiting),
    /// Its tools: those that are known, or, if `fresh`, those that it lists now.
    Tools { fresh: bool, reply: oneshot::Sender<()> },
    /// To hear of updates of a resource, or not any more.
    Updates(Wish),
    /// A client went away.
    Farewell(ClientSession),
    /// To keep that it speaks the modern era only.
    ModernOnly,
}

/// What the keeper's own tasks come back with. `u64` is the connection that they belong to.
enum Outcome {
    Started(Result<Box<Started>, UpstreamError>),
    Listed(u64, Result<Box<Offer>, Failure>),
    Ended(u64, End),
    ListAgain(u64),
    ListenEnded {
        generation: u64,
        number: u64,
        lived: Duration,
    },
    Tell(ListKind),
    Refused {
        uri: String,
        who: Option<ClientSession>,
    },
    Kept,
    /// A pause that somebody waits for is over.
    Rested,
    Done,
}

enum Phase {
    Down,
    Starting,
    Up { connected: Arc<Connected>, since: Instant, stop: CancellationToken },
}

/// Whether the list is being written to disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Keeping {
    #[default]
    Idle,
    Once,
    /// There is a newer one to be written after it.
    Again,
}

/// The owner of one upstream.
pub(crate) struct Keeper {
    board: Arc<Board>,
    cell: Arc<Cell>,
    starter: Starter,
    cache: Option<Cache>,
    wants: mpsc::Receiver<Want>,
    stop: CancellationToken,
    tasks: JoinSet<Outcome>,
    phase: Phase,
    generation: u64,
    waiting: Vec<Waiting>,
    /// Those who wait for the reading of the list that is under way, or the first one to be.
    curious: Vec<oneshot::Sender<()>>,
    /// Those who asked during a reading for one that begins after they asked.
    later: Vec<oneshot::Sender<()>>,
    reading: bool,
    /// The list changed during the reading that is under way.
    list_again: bool,
    /// A reading waits for its time.
    due: bool,
    pace: Pace,
    keeping: Keeping,
    failures: u32,
    refusal: Option<(Instant, UpstreamError)>,
    hearing: Hearing,
}

impl Keeper {
    /// The keeper of a cell; `stop` ends it.
    pub(crate) fn new(
        board: Arc<Board>,
        cell: Arc<Cell>,
        wants: mpsc::Receiver<Want>,
        means: Means,
        stop: CancellationToken,
    ) -> Self {
        let cache = means.cache.clone();
        let us = Arc::clone(&means.introduction);
        let (lanes, heard) = Lanes::new(Arc::clone(&us));
        let starter = Starter::new(Arc::clone(&cell), means, stop.clone());
        lanes.set_modern_only(cell.offer().is_some_and(|offer| offer.modern_only));
        let lanes = cell.lanes.get_or_init(|| Arc::new(lanes));
        let (kept, lanes) = (Arc::clone(&cell), Arc::clone(lanes));
        let steward = Steward::new(kept, lanes, starter.clone(), heard, stop.child_token());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            steward.run().await;
            Outcome::Done
        });
        if let Some((crew, heard)) = Crew::of(&cell.config) {
            let crew = cell.crew.get_or_init(|| Arc::new(crew));
            let (kept, crew) = (Arc::clone(&cell), Arc::clone(crew));
            let mate = Mate::new(kept, crew, starter.clone(), us, (heard, stop.child_token()));
            tasks.spawn(async move {
                mate.run().await;
                Outcome::Done
            });
        }
        Self {
            board,
            cell,
            starter,
            cache,
            wants,
            stop,
            tasks,
            phase: Phase::Down,
            generation: 0,
            waiting: Vec::new(),
            curious: Vec::new(),
            later: Vec::new(),
            reading: false,
            list_again: false,
            due: false,
            pace: Pace::new(),
            keeping: Keeping::Idle,
            failures: 0,
            refusal: None,
            hearing: Hearing::default(),
        }
    }

    /// Keeps until it is stopped; then the upstream and its processes are gone.
    pub(crate) async fn run(mut self) {
        let (stop, news) = (self.stop.clone(), Arc::clone(&self.cell.news));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                want = self.wants.recv() => match want {
                    Some(want) => self.serve(want),
                    None => break,
                },
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => match done {
                    Ok(outcome) => self.take(outcome),
                    Err(broken) => self.broke(&broken.to_string()),
                },
                lists = news.changed() => {
                    self.hearing.told |= lists.has(ListKind::Tools);
                    self.changed(lists);
                }
            }
        }
        self.cell.disconnect();
        self.waiting.clear();
        self.curious.clear();
        self.later.clear();
        // Sessions end with the same token; each takes its processes with it.
        while self.tasks.join_next().await.is_some() {}
    }

    fn serve(&mut self, want: Want) {
        match want {
            Want::Updates(wish) => self.wish(wish),
            Want::Farewell(session) => self.farewell(session),
            Want::ModernOnly => {
                self.cell.set_modern_only();
                self.keep();
            }
            Want::Connection(reply) => match &self.phase {
                Phase::Up { connected, .. } if !connected.peer.is_closed() => {
                    // Whoever went away needs no connection.
                    let _gone = reply.send(Ok(Arc::clone(connected)));
                }
                // A connection that is ending is followed by a new one.
                Phase::Up { .. } | Phase::Starting => self.waiting.push(reply),
                Phase::Down => {
                    if let Some(error) = self.refused() {
                        self.put_off(reply, error);
                    } else {
                        self.waiting.push(reply);
                        self.start();
                    }
                }
            },
            Want::Tools { fresh, reply } => {
                if !fresh && self.cell.offer().is_some() || self.refused().is_some() {
                    let _gone = reply.send(());
                    return;
                }
                if fresh && self.reading {
                    self.later.push(reply);
                    return;
                }
                // A reading under way is fresh enough for those who know nothing.
                self.curious.push(reply);
                match self.phase {
                    Phase::Down => self.start(),
                    Phase::Starting => {}
                    Phase::Up { .. } => self.read_list(),
                }
            }
        }
    }

    /// The reason not to start now, while there is a pause after a failure.
    fn refused(&self) -> Option<UpstreamError> {
        let (until, error) = self.refusal.as_ref().filter(|_| matches!(self.phase, Phase::Down))?;
        let left = until.checked_duration_since(Instant::now())?;
        let UpstreamError::Start { server, reason, .. } = error else { return Some(error.clone()) };
        let retry_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        Some(UpstreamError::Start { server: server.clone(), reason: reason.clone(), retry_ms })
    }

    /// There is a pause. Those who want an upstream that served before wait for a short one.
    fn put_off(&mut self, reply: Waiting, error: UpstreamError) {
        let until = self.refusal.as_ref().map(|(until, _)| *until);
        let soon = until.filter(|until| *until <= Instant::now() + PATIENCE);
        let Some(until) = soon.filter(|_| self.has_served()) else {
            let _gone = reply.send(Err(error));
            return;
        };
        if self.waiting.is_empty() {
            self.rest(until);
        }
        self.waiting.push(reply);
    }

    /// Whether somebody waits for it, or for what it tells by itself.
    fn is_needed(&self) -> bool {
        !self.waiting.is_empty() || !self.cell.news.wished().is_empty()
    }

    fn has_served(&self) -> bool {
        self.generation > 0
    }

    fn start(&mut self) {
        self.phase = Phase::Starting;
        self.cell.set_state(ServerState::Starting);
        let starting = self.starter.start();
        self.tasks.spawn(async move { Outcome::Started(starting.await.map(Box::new)) });
    }

    fn take(&mut self, outcome: Outcome) {
        let current = self.generation;
        match outcome {
            Outcome::Started(Ok(started)) => self.up(*started),
            Outcome::Started(Err(error)) => self.failed(error),
            Outcome::Ended(generation, end) if generation == current => self.down(end),
            Outcome::Listed(generation, list) if generation == current => self.listed(list),
            Outcome::ListAgain(generation) if generation == current && self.due => {
                self.list_again |= self.reading;
                self.read_list();
            }
            Outcome::ListenEnded { generation, number, lived } if generation == current => {
                self.listen_again(number, lived);
            }
            Outcome::Tell(kind) => self.tell_now(kind),
            Outcome::Refused { uri, who } => self.refused_to_tell(&uri, who),
            Outcome::Rested if matches!(self.phase, Phase::Down) && self.is_needed() => {
                self.start();
            }
            Outcome::Kept if std::mem::take(&mut self.keeping) == Keeping::Again => self.keep(),
            _ => {}
        }
    }

    fn up(&mut self, started: Started) {
        let Started { peer, agreed, heard, session, stop } = started;
        self.generation += 1;
        let generation = self.generation;
        self.tasks.spawn(async move { Outcome::Ended(generation, session.await) });
        let connected = Arc::new(Connected::new(peer, agreed));
        self.phase = Phase::Up { connected: Arc::clone(&connected), since: Instant::now(), stop };
        self.cell.connect(Arc::clone(&connected));
        self.refusal = None;
        for waiting in self.waiting.drain(..) {
            let _gone = waiting.send(Ok(Arc::clone(&connected)));
        }
        self.forget_reading();
        self.read_list();
        self.hear(&heard);
    }

    fn failed(&mut self, error: UpstreamError) {
        self.phase = Phase::Down;
        self.failures += 1;
        tracing::warn!(server = self.cell.name(), "{error}");
        // One that served before is tried again at once, as after a death.
        let free = if self.has_served() { YOUNG_DEATHS_MAX } else { 0 };
        if self.failures <= free && self.is_needed() {
            self.start();
            return;
        }
        let doubled = (self.failures - 1).saturating_sub(free).min(8);
        let pause = BACKOFF_FIRST.saturating_mul(1 << doubled).min(BACKOFF_MAX);
        self.refuse_for(pause, error);
    }

    fn refuse_for(&mut self, pause: Duration, error: UpstreamError) {
        self.cell.fail(error.to_string());
        for waiting in self.waiting.drain(..) {
            let _gone = waiting.send(Err(error.clone()));
        }
        self.curious.clear();
        self.later.clear();
        let until = Instant::now() + jitter(pause);
        self.refusal = Some((until, error));
        if self.is_needed() {
            self.rest(until);
        }
    }

    /// Starts after a pause if it is needed then.
    fn rest(&mut self, until: Instant) {
        self.tasks.spawn(async move {
            tokio::time::sleep_until(until).await;
            Outcome::Rested
        });
    }

    /// The connection ended. Whoever waits gets a new one.
    fn down(&mut self, end: End) {
        let Phase::Up { since, .. } = std::mem::replace(&mut self.phase, Phase::Down) else {
            return;
        };
        self.cell.disconnect();
        self.forget_reading();
        if since.elapsed() >= SOUND_AFTER {
            self.failures = 0;
        }
        match end {
            End::Stopped => {
                self.cell.set_state(ServerState::Idle);
                self.failures = 0;
            }
            End::Lost(reason) => {
                tracing::warn!(server = self.cell.name(), "lost: {reason}");
                self.failures += 1;
                if self.failures > YOUNG_DEATHS_MAX {
                    let server = self.cell.name().to_owned();
                    let retry_ms = 1_000;
                    self.refuse_for(
                        BACKOFF_FIRST,
                        UpstreamError::Start { server, reason, retry_ms },
                    );
                    return;
                }
                self.cell.fail(reason);
            }
        }
        if self.is_needed() {
            self.start();
        } else {
            self.curious.clear();
        }
    }

    /// A task of ours panicked: nothing is known of the connection any more.
    fn broke(&mut self, reason: &str) {
        tracing::error!(server = self.cell.name(), "a task broke: {reason}");
        self.keeping = Keeping::Idle;
        self.give_up("narrows failed inside; see the log".to_owned());
    }

    /// Ends a connection that is of no use, as a start that failed.
    fn give_up(&mut self, reason: String) {
        if let Phase::Up { stop, .. } = &self.phase {
            stop.cancel();
        }
        self.generation += 1;
        self.cell.disconnect();
        self.forget_reading();
        let server = self.cell.name().to_owned();
        self.failed(UpstreamError::Start { server, reason, retry_ms: 1_000 });
    }
}
