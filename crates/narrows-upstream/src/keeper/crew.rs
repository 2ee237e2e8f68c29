//! Further connections that serve everybody together with the first one: more processes of a stdio
//! upstream, or sessions at further places of a legacy HTTP upstream. Each request takes the one
//! that has the least to do; there are more while all are busy, and fewer after a while of rest.

use super::hear::take_up_late;
use super::start::{Opening, Started, Starter};
use crate::board::{Cell, Connected};
use crate::config::{Launch, ServerConfig};
use crate::health::jitter;
use crate::session::{End, Introduction, Voice};
use crate::wire::Failure;
use arc_swap::ArcSwap;
use narrows_types::fault::clip;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long one beyond the least number is kept while nobody uses it, if the config does not say.
const IDLE_STOP: Duration = Duration::from_mins(1);
/// The first pause after one failed; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Connections of one upstream that serve everybody.
const CREW_MAX: usize = 64;
/// Bytes of the reason why one of them failed.
const REASON_BYTES_MAX: usize = 280;

/// The further connections, for all to use.
pub(crate) struct Crew {
    more: ArcSwap<Vec<Arc<Connected>>>,
    wants: mpsc::Sender<()>,
    min: usize,
    max: usize,
}

impl Crew {
    /// Those of an upstream with this config, and what their keeper listens to; `None` if one
    /// connection is all that there is to be.
    pub(super) fn of(config: &ServerConfig) -> Option<(Self, mpsc::Receiver<()>)> {
        let (min, max) = match &config.launch {
            Launch::Stdio { .. } => (config.pool.min, config.pool.max),
            Launch::Http { urls, .. } => (1, 1 + urls.len()),
            Launch::Builtin(_) => (1, 1),
        };
        let max = max.min(CREW_MAX);
        if max < 2 {
            return None;
        }
        let (wants, heard) = mpsc::channel(1);
        Some((Self { more: ArcSwap::default(), wants, min: min.min(max), max }, heard))
    }

    /// The one with the least to do. If that is not idle, there will be one more soon.
    pub(crate) fn pick(&self, first: Arc<Connected>, over_http: bool) -> Arc<Connected> {
        if over_http && first.agreed.revision.is_modern() {
            // There each request finds a place of its own.
            return first;
        }
        let more = self.more.load();
        let count = 1 + more.len();
        let mut least = first.peer.under_way();
        let mut picked = first;
        for other in more.iter().filter(|other| !other.peer.is_closed()) {
            let load = other.peer.under_way();
            if load < least {
                least = load;
                picked = Arc::clone(other);
            }
        }
        if count < self.min || (count < self.max && least > 0) {
            // One want is as good as many.
            let _full = self.wants.try_send(());
        }
        picked
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Connected>> {
        Vec::clone(&self.more.load()).into_iter()
    }

    /// One that serves while the first one does not.
    pub(crate) fn any(&self) -> Option<Arc<Connected>> {
        let more = self.more.load();
        let live = more.iter().filter(|other| !other.peer.is_closed());
        live.min_by_key(|other| other.peer.under_way()).map(Arc::clone)
    }
}

enum Outcome {
    Opened(Result<Box<Started>, Failure>),
    Ended(Arc<Connected>, End),
    /// A pause after a failure is over.
    Rested,
    /// It was subscribed to what was wished while it opened.
    Subscribed,
}

/// Opens them one after the other, and puts new ones in the place of those that died.
pub(super) struct Mate {
    cell: Arc<Cell>,
    crew: Arc<Crew>,
    starter: Starter,
    us: Arc<Introduction>,
    heard: mpsc::Receiver<()>,
    stop: CancellationToken,
    tasks: JoinSet<Outcome>,
    /// One is opening, or there is a pause after one that failed.
    busy: bool,
    failures: u32,
}

impl Mate {
    pub(super) fn new(
        cell: Arc<Cell>,
        crew: Arc<Crew>,
        starter: Starter,
        us: Arc<Introduction>,
        (heard, stop): (mpsc::Receiver<()>, CancellationToken),
    ) -> Self {
        let (tasks, busy, failures) = (JoinSet::new(), false, 0);
        Self { cell, crew, starter, us, heard, stop, tasks, busy, failures }
    }

    /// Serves until it is stopped; then all of them and their processes are gone.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                want = self.heard.recv(), if !self.busy => match want {
                    Some(()) => self.open(),
                    None => break,
                },
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => match done {
                    Ok(outcome) => self.take(outcome),
                    Err(broken) => {
                        tracing::error!(server = self.cell.name(), "a connection broke: {broken}");
                        self.rest();
                    }
                },
            }
        }
        self.crew.more.store(Arc::default());
        while self.tasks.join_next().await.is_some() {}
    }

    fn count(&self) -> usize {
        1 + self.crew.more.load().len()
    }

    fn open(&mut self) {
        let count = self.count();
        if count >= self.crew.max {
            return;
        }
        let config = &self.cell.config;
        let idle = config.idle_stop.unwrap_or(IDLE_STOP);
        let opening = Opening {
            voice: Voice::ours(Arc::clone(&self.us)),
            back: None,
            who: None,
            era: config.era,
            idle_stop: (count >= self.crew.min).then_some(idle),
        };
        self.busy = true;
        let starter = self.starter.clone();
        self.tasks
            .spawn(async move { Outcome::Opened(starter.open_as(&opening).await.map(Box::new)) });
    }

    fn take(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Opened(Ok(started)) => {
                let Started { peer, agreed, heard, session, .. } = *started;
                let connected = Arc::new(Connected::new(peer, agreed));
                let new = Arc::clone(&connected);
                self.crew.more.rcu(|more| {
                    let mut more = Vec::clone(more);
                    more.push(Arc::clone(&connected));
                    more
                });
                self.tasks.spawn(async move { Outcome::Ended(connected, session.await) });
                if let Some(late) = take_up_late(&self.cell, new, None, &heard) {
                    self.tasks.spawn(async move {
                        late.await;
                        Outcome::Subscribed
                    });
                }
                self.busy = false;
                self.fill();
            }
            Outcome::Opened(Err(failure)) => {
                self.complain(&failure.to_string());
                self.rest();
            }
            Outcome::Ended(ended, end) => {
                self.crew.more.rcu(|more| {
                    let left = more.iter().filter(|other| !Arc::ptr_eq(other, &ended));
                    left.map(Arc::clone).collect::<Vec<_>>()
                });
                if let End::Lost(reason) = end {
                    self.complain(&reason);
                    self.rest();
                } else {
                    self.failures = 0;
                }
            }
            Outcome::Subscribed => {}
            Outcome::Rested => {
                self.busy = false;
                self.fill();
            }
        }
    }

    /// There are at least so many.
    fn fill(&mut self) {
        if !self.busy && self.count() < self.crew.min {
            self.open();
        }
    }

    fn complain(&self, reason: &str) {
        tracing::warn!(server = self.cell.name(), "one of its connections: {reason}");
        self.cell.complain(clip(format!("one of its processes: {reason}"), REASON_BYTES_MAX));
    }

    /// Pauses after a failure.
    fn rest(&mut self) {
        self.busy = true;
        let pause = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
        self.failures += 1;
        self.tasks.spawn(async move {
            tokio::time::sleep(jitter(pause)).await;
            Outcome::Rested
        });
    }
}
