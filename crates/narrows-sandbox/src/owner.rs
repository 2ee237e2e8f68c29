//! The owner of one engine's zygotes: one task, which alone knows them, the workers that wait
//! ready, and whoever waits for one.

use crate::backend::Fresh;
use crate::cgroup::{self, Cgroup};
use crate::guard::Ended;
use crate::shelf::{self, Shelf, wait};
use crate::spawn::Launch;
use crate::zygote::{self, Born, Stage, Zygote};
use crate::{Config, SandboxError};
use narrows_types::control::FromZygote;
use narrows_types::{BackendKind, Engine, LayerState};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What listeners have said and the owner has not handled yet; a full one only makes them wait.
const EVENTS_MAX: usize = 256;
/// Forks that may be asked for and not answered: the control socket holds many more messages.
const ASKED_MAX: usize = 32;
/// A zygote that lived this long did not fail because of how it was started.
const SOUND: Duration = Duration::from_secs(10);
/// So many zygotes in a row may die before those who wait are told.
const PATIENCE: u32 = 3;

/// One engine's pool on one back end, as of a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Which back end.
    pub backend: BackendKind,
    /// Which engine.
    pub engine: Engine,
    /// Its programs have a network.
    pub network: bool,
    /// Workers can be had: a zygote is ready to fork, or the back end has been found to work.
    pub ready: bool,
    /// Process number of the zygote that forks now, where there is one.
    pub pid: Option<u32>,
    /// Zygotes started so far; where there are none, workers.
    pub started: u64,
    /// Workers that wait ready.
    pub idle: usize,
    /// Workers that live, the idle ones among them.
    pub living: usize,
    /// What the newest zygote said of each layer. Empty until one has started.
    pub layers: Arc<[LayerState]>,
    /// Why the last start failed, if it did.
    pub error: Option<String>,
}

impl Health {
    pub(crate) fn new(backend: BackendKind, engine: Engine) -> Self {
        Self {
            backend,
            engine,
            network: false,
            ready: false,
            pid: None,
            started: 0,
            idle: 0,
            living: 0,
            layers: Arc::default(),
            error: None,
        }
    }
}

/// What the owner is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A worker.
    Worker(oneshot::Sender<Result<Fresh, SandboxError>>),
    /// To say when there is a zygote and the pool is full.
    Ready(oneshot::Sender<Result<(), SandboxError>>),
}

/// What happens to zygotes.
pub(crate) enum Event {
    /// The process has been started.
    Started { generation: u64, born: Born },
    /// It said something, with descriptors or without.
    Said { generation: u64, message: FromZygote, fds: Vec<OwnedFd> },
    /// It is gone, or was never there.
    Gone { generation: u64, why: String },
}

/// The owner's state.
pub(crate) struct Pool {
    backend: BackendKind,
    config: Config,
    launch: Launch,
    /// What bounds all zygotes and their workers together.
    cgroup: Arc<Cgroup>,
    tell: watch::Sender<Health>,
    zygotes: HashMap<u64, Zygote>,
    /// The one that forks.
    current: Option<u64>,
    /// The one that is started to follow it.
    successor: Option<u64>,
    /// The newest generation; generations count up from 1.
    newest: u64,
    /// The newest worker's number.
    worker: u64,
    shelf: Shelf,
    listeners: JoinSet<()>,
    layers: Arc<[LayerState]>,
}

impl Pool {
    pub(crate) fn new(
        backend: BackendKind,
        config: Config,
        (launch, cgroup): (Launch, Arc<Cgroup>),
        tell: watch::Sender<Health>,
    ) -> Self {
        Self {
            backend,
            shelf: Shelf::new(config.warm, PATIENCE, Some(Arc::clone(&cgroup))),
            config,
            launch,
            cgroup,
            tell,
            zygotes: HashMap::new(),
            current: None,
            successor: None,
            newest: 0,
            worker: 0,
            listeners: JoinSet::new(),
            layers: Arc::default(),
        }
    }

    /// The loop. Ends with the sandbox, and everything that it started with it.
    pub(crate) async fn run(mut self, mut asked: mpsc::Receiver<Ask>, stop: CancellationToken) {
        let (events, mut heard) = mpsc::channel(EVENTS_MAX);
        loop {
            let due = self.due();
            tokio::select! {
                () = stop.cancelled() => break,
                ask = asked.recv() => match ask {
                    Some(ask) => self.shelf.ask(ask),
                    None => break,
                },
                Some(event) = heard.recv() => self.handle(event),
                () = wait(due) => self.overdue(),
            }
            while self.listeners.try_join_next().is_some() {}
            self.tend(&events);
            self.publish();
        }
        for (_, zygote) in self.zygotes.drain() {
            zygote.kill();
        }
        asked.close();
        drop(self.shelf.close());
        drop(heard);
        while self.listeners.join_next().await.is_some() {}
        self.publish();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Started { generation, born } => match self.zygotes.get_mut(&generation) {
                Some(zygote) => zygote.started(born),
                // Given up while it was being started.
                None => born.process.kill(),
            },
            Event::Said { generation, message, fds } => self.hear(generation, message, fds),
            Event::Gone { generation, why } => self.lose(generation, self.broken(&why)),
        }
    }

    fn hear(&mut self, generation: u64, message: FromZygote, fds: Vec<OwnedFd>) {
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        match message {
            FromZygote::Ready { mut layers } if zygote.stage == Stage::Starting => {
                zygote.stage = Stage::Ready;
                cgroup::note(&mut layers, zygote.bounded.clone());
                self.ready(generation, layers);
            }
            FromZygote::Failed { reason } if zygote.stage == Stage::Starting => {
                // It cannot run here: nobody needs to wait for two more to say the same.
                self.shelf.lose_patience();
                self.lose(generation, self.broken(&reason));
            }
            FromZygote::Ready { .. } | FromZygote::Failed { .. } => {
                self.lose(generation, self.broken("it spoke out of turn"));
            }
            FromZygote::Forked { id } => {
                if let Some(fresh) = zygote.forked(id, fds) {
                    self.shelf.put(fresh);
                }
            }
            FromZygote::ForkFailed { id, reason } => {
                zygote.fork_failed(id);
                tracing::warn!(engine = %self.launch.engine, "cannot fork a worker: {reason}");
                // Many are asked for at once; that they fail together is one failure.
                if !self.shelf.is_paused() {
                    self.shelf.fail(self.broken(&format!("cannot fork: {reason}")));
                }
            }
            FromZygote::Ended { id, how, cpu_us, memory_bytes } => {
                zygote.ended(id, Ended { how, cpu_us, memory_bytes });
            }
        }
    }

    fn ready(&mut self, generation: u64, layers: Vec<LayerState>) {
        self.layers = layers.into();
        if let Some(error) = shelf::missing(&self.layers, &self.config.require) {
            self.remove(generation);
            self.shelf.lose_patience();
            return self.shelf.fail(error);
        }
        self.shelf.works();
        if self.successor == Some(generation) {
            self.succeed();
        }
    }

    /// A zygote is gone, or is to be. Its workers go with it.
    fn lose(&mut self, generation: u64, error: SandboxError) {
        let Some(zygote) = self.zygotes.get(&generation) else { return };
        let (stage, sound) = (zygote.stage, zygote.born.elapsed() >= SOUND);
        let follows = self.successor == Some(generation);
        self.remove(generation);
        if matches!(stage, Stage::Retired | Stage::Ending) {
            return;
        }
        tracing::warn!(engine = %self.launch.engine, "a zygote is gone: {error}");
        if sound {
            self.shelf.forgive();
        }
        // While there is one that forks, a successor is tried again with the next worker.
        if !follows {
            self.shelf.fail(error);
        }
    }

    fn broken(&self, why: &str) -> SandboxError {
        let reason = narrows_types::fault::clip(why.to_owned(), 300);
        SandboxError::Start { engine: self.launch.engine, reason }
    }

    fn remove(&mut self, generation: u64) {
        if self.current == Some(generation) {
            self.current = self.successor.take();
        }
        if self.successor == Some(generation) {
            self.successor = None;
        }
        if let Some(zygote) = self.zygotes.remove(&generation) {
            zygote.kill();
        }
        self.shelf.sort_out();
    }

    /// Brings everything to where it should be: workers to those who wait, the pool full, a zygote
    /// there, old ones gone.
    fn tend(&mut self, events: &mpsc::Sender<Event>) {
        self.shelf.hand_out();
        self.retire();
        self.start(events);
        self.fill();
        if self.is_ready() {
            self.shelf.tell_ready();
        }
    }

    /// A zygote that has forked often goes with its last worker.
    fn retire(&mut self) {
        let often = self.config.forks_per_zygote.max(1);
        // Beyond twice as many it stops, whether another is ready or not.
        if self.forks_of_current() >= often.saturating_mul(2) {
            self.succeed();
        }
        for zygote in self.zygotes.values_mut() {
            if zygote.stage == Stage::Retired && zygote.living() == 0 && zygote.asked() == 0 {
                zygote.dismiss();
            }
        }
    }

    fn forks_of_current(&self) -> u32 {
        let current = self.current.and_then(|current| self.zygotes.get(&current));
        current.filter(|zygote| zygote.stage == Stage::Ready).map_or(0, |zygote| zygote.forks)
    }

    /// The successor takes over.
    fn succeed(&mut self) {
        if let Some(old) = self.current.and_then(|current| self.zygotes.get_mut(&current)) {
            old.stage = Stage::Retired;
        }
        self.current = self.successor.take();
    }

    fn start(&mut self, events: &mpsc::Sender<Event>) {
        // The next one is started while the present one still forks, so that nobody waits for it.
        let aged = self.forks_of_current() >= self.config.forks_per_zygote.max(1);
        let follows = aged && self.successor.is_none();
        if !(self.current.is_none() || follows) || !self.shelf.wants() {
            return;
        }
        self.newest += 1;
        let stop = CancellationToken::new();
        let what = (self.launch.clone(), Arc::clone(&self.cgroup));
        let listen = zygote::listen(self.newest, what, events.clone(), stop.clone());
        self.listeners.spawn(listen);
        self.zygotes.insert(self.newest, Zygote::new(stop));
        if follows {
            self.successor = Some(self.newest);
        } else {
            self.current = Some(self.newest);
        }
    }

    fn fill(&mut self) {
        let asked: usize = self.zygotes.values().map(Zygote::asked).sum();
        let (missing, paused) = (self.shelf.missing(asked), self.shelf.is_paused());
        let Some(generation) = self.current else { return };
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        if zygote.stage != Stage::Ready || paused {
            return;
        }
        for _ in 0..missing.min(ASKED_MAX.saturating_sub(zygote.asked())) {
            self.worker += 1;
            if let Err(error) = zygote.fork(self.worker) {
                self.lose(generation, self.broken(&format!("it takes no orders: {error}")));
                return;
            }
        }
    }

    fn is_ready(&self) -> bool {
        let current = self.current.and_then(|current| self.zygotes.get(&current));
        current.is_some_and(|zygote| zygote.stage == Stage::Ready)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.config.start_ms)
    }

    /// When something has to be looked at although nothing happens.
    fn due(&self) -> Option<Instant> {
        let owed = self.zygotes.values().filter_map(Zygote::owes_since).min();
        let owed = owed.map(|since| since + self.patience());
        [owed, self.shelf.due()].into_iter().flatten().min()
    }

    /// Gives up zygotes that owe an answer for too long.
    fn overdue(&mut self) {
        let (now, patience) = (Instant::now(), self.patience());
        let late = |zygote: &Zygote| zygote.owes_since().is_some_and(|at| at + patience <= now);
        let late: Vec<_> = self
            .zygotes
            .iter()
            .filter(|(_, z)| late(z))
            .map(|(generation, _)| *generation)
            .collect();
        for generation in late {
            self.lose(
                generation,
                SandboxError::Slow { backend: self.backend, ms: self.config.start_ms },
            );
        }
    }

    fn publish(&self) {
        let current = self.current.and_then(|current| self.zygotes.get(&current));
        let health = Health {
            ready: self.is_ready(),
            pid: current.and_then(|zygote| zygote.pid),
            started: self.newest,
            idle: self.shelf.idle(),
            living: self.zygotes.values().map(Zygote::living).sum(),
            layers: Arc::clone(&self.layers),
            error: self.shelf.error(),
            network: self.launch.network.is_some(),
            ..Health::new(self.backend, self.launch.engine)
        };
        shelf::publish(&self.tell, health);
    }
}
