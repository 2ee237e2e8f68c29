//! The owner of one engine's zygotes: one task, which alone knows them, the workers that wait
//! ready, and whoever waits for one.

use crate::backend::Fresh;
use crate::guard::Ended;
use crate::spawn::{Control, Launch, Pidfd};
use crate::zygote::{self, Stage, Zygote};
use crate::{Config, SandboxError};
use narrows_types::control::FromZygote;
use narrows_types::{BackendKind, Engine, LayerState};
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// What listeners have said and the owner has not handled yet; a full one only makes them wait.
const EVENTS_MAX: usize = 256;
/// Forks that may be asked for and not answered: the control socket holds many more messages.
const ASKED_MAX: usize = 32;
/// A zygote that lived this long did not fail because of how it was started.
const SOUND: Duration = Duration::from_secs(10);
/// The wait after the first failure; each further one doubles it, up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// So many zygotes in a row may die before those who wait are told.
const PATIENCE: u32 = 3;

/// One engine's pool on one back end, as of a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Which back end.
    pub backend: BackendKind,
    /// Which engine.
    pub engine: Engine,
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
    Started { generation: u64, control: Arc<Control>, process: Pidfd, pid: u32 },
    /// It said something, with a descriptor or without.
    Said { generation: u64, message: FromZygote, fd: Option<OwnedFd> },
    /// It is gone, or was never there.
    Gone { generation: u64, why: String },
}

/// The owner's state.
pub(crate) struct Pool {
    backend: BackendKind,
    config: Config,
    launch: Launch,
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
    idle: VecDeque<Fresh>,
    waiting: VecDeque<oneshot::Sender<Result<Fresh, SandboxError>>>,
    unready: Vec<oneshot::Sender<Result<(), SandboxError>>>,
    /// Somebody has asked for a worker or for readiness: from then on the pool is kept full.
    wanted: bool,
    failures: u32,
    /// Why, and until when nothing is started.
    failed: Option<(SandboxError, Instant)>,
    listeners: JoinSet<()>,
    layers: Arc<[LayerState]>,
}

impl Pool {
    pub(crate) fn new(
        backend: BackendKind,
        config: Config,
        launch: Launch,
        tell: watch::Sender<Health>,
    ) -> Self {
        Self {
            backend,
            config,
            launch,
            tell,
            zygotes: HashMap::new(),
            current: None,
            successor: None,
            newest: 0,
            worker: 0,
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            unready: Vec::new(),
            wanted: false,
            failures: 0,
            failed: None,
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
                    Some(ask) => self.answer(ask),
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
        self.idle.clear();
        drop(heard);
        while self.listeners.join_next().await.is_some() {}
        self.publish();
    }

    fn answer(&mut self, ask: Ask) {
        self.wanted = true;
        if let Some((error, until)) = &self.failed
            && Instant::now() < *until
            && self.failures >= PATIENCE
        {
            let error = error.clone();
            match ask {
                Ask::Worker(answer) => drop(answer.send(Err(error))),
                Ask::Ready(answer) => drop(answer.send(Err(error))),
            }
            return;
        }
        match ask {
            Ask::Worker(answer) => self.waiting.push_back(answer),
            Ask::Ready(answer) => self.unready.push(answer),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Started { generation, control, process, pid } => {
                match self.zygotes.get_mut(&generation) {
                    Some(zygote) => zygote.started(control, process, pid),
                    // Given up while it was being started.
                    None => process.kill(),
                }
            }
            Event::Said { generation, message, fd } => self.hear(generation, message, fd),
            Event::Gone { generation, why } => self.lose(generation, &why),
        }
    }

    fn hear(&mut self, generation: u64, message: FromZygote, fd: Option<OwnedFd>) {
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        match message {
            FromZygote::Ready { layers } if zygote.stage == Stage::Starting => {
                zygote.stage = Stage::Ready;
                self.ready(generation, layers);
            }
            FromZygote::Failed { reason } if zygote.stage == Stage::Starting => {
                // It cannot run here: nobody needs to wait for two more to say the same.
                self.failures = self.failures.max(PATIENCE - 1);
                self.lose(generation, &reason);
            }
            FromZygote::Ready { .. } | FromZygote::Failed { .. } => {
                self.lose(generation, "it spoke out of turn");
            }
            FromZygote::Forked { id } => {
                if let Some(fresh) = zygote.forked(id, fd.map(Pidfd::new)) {
                    self.idle.push_back(fresh);
                    self.failed = None;
                }
            }
            FromZygote::ForkFailed { id, reason } => {
                zygote.fork_failed(id);
                tracing::warn!(engine = %self.launch.engine, "cannot fork a worker: {reason}");
                self.fail(&format!("cannot fork: {reason}"));
            }
            FromZygote::Ended { id, how, cpu_us } => zygote.ended(id, Ended { how, cpu_us }),
        }
    }

    fn ready(&mut self, generation: u64, layers: Vec<LayerState>) {
        self.layers = layers.into();
        let required =
            |state: &&LayerState| !state.reached && self.config.require.contains(&state.layer);
        let missing: Vec<_> = self.layers.iter().filter(required).collect();
        if missing.is_empty() {
            self.failed = None;
            if self.successor == Some(generation) {
                self.succeed();
            }
            return;
        }
        let missing: Vec<_> =
            missing.iter().map(|state| format!("{} ({})", state.layer, state.why)).collect();
        let error = SandboxError::Layers(missing.join(", "));
        self.remove(generation);
        self.failures = self.failures.max(PATIENCE);
        self.refuse(error);
    }

    /// A zygote is gone, or is to be. Its workers go with it.
    fn lose(&mut self, generation: u64, why: &str) {
        let Some(zygote) = self.zygotes.get(&generation) else { return };
        let (stage, sound) = (zygote.stage, zygote.born.elapsed() >= SOUND);
        let follows = self.successor == Some(generation);
        self.remove(generation);
        if matches!(stage, Stage::Retired | Stage::Ending) {
            return;
        }
        tracing::warn!(engine = %self.launch.engine, "a zygote is gone: {why}");
        if sound {
            self.failures = 0;
        }
        // While there is one that forks, a successor is tried again with the next worker.
        if !follows {
            self.fail(why);
        }
    }

    fn fail(&mut self, why: &str) {
        let reason = narrows_types::fault::clip(why.to_owned(), 300);
        self.failures = self.failures.saturating_add(1);
        self.refuse(SandboxError::Start { engine: self.launch.engine, reason });
    }

    /// Waits a little before the next start, and tells those who wait once it has failed often.
    fn refuse(&mut self, error: SandboxError) {
        let doubled = 1_u32.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = BACKOFF.saturating_mul(doubled).min(BACKOFF_MAX);
        if self.failures >= PATIENCE {
            for answer in self.waiting.drain(..) {
                drop(answer.send(Err(error.clone())));
            }
            for answer in self.unready.drain(..) {
                drop(answer.send(Err(error.clone())));
            }
        }
        self.failed = Some((error, Instant::now() + pause));
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
        self.idle.retain_mut(Fresh::alive);
    }

    /// Brings everything to where it should be: workers to those who wait, the pool full, a zygote
    /// there, old ones gone.
    fn tend(&mut self, events: &mpsc::Sender<Event>) {
        self.hand_out();
        self.retire();
        self.start(events);
        self.fill();
        if self.is_ready() && self.idle.len() >= self.config.warm {
            for answer in self.unready.drain(..) {
                drop(answer.send(Ok(())));
            }
        }
    }

    fn hand_out(&mut self) {
        self.idle.retain_mut(Fresh::alive);
        self.waiting.retain(|answer| !answer.is_closed());
        while let Some(fresh) = self.idle.pop_front() {
            let Some(answer) = self.waiting.pop_front() else {
                self.idle.push_front(fresh);
                return;
            };
            if let Err(Ok(fresh)) = answer.send(Ok(fresh)) {
                self.idle.push_front(fresh);
            }
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
        let paused = self.failed.as_ref().is_some_and(|(_, until)| Instant::now() < *until);
        // The next one is started while the present one still forks, so that nobody waits for it.
        let aged = self.forks_of_current() >= self.config.forks_per_zygote.max(1);
        let follows = aged && self.successor.is_none();
        let needed = self.wanted && (self.current.is_none() || follows);
        // Where starting fails, only somebody who asks is a reason to try again.
        let asked = !self.waiting.is_empty() || !self.unready.is_empty();
        if !needed || paused || (self.failures >= PATIENCE && !asked) {
            return;
        }
        self.newest += 1;
        let stop = CancellationToken::new();
        let listen = zygote::listen(self.newest, self.launch.clone(), events.clone(), stop.clone());
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
        let goal = self.waiting.len().saturating_add(self.config.warm);
        let missing = goal.saturating_sub(self.idle.len().saturating_add(asked));
        let paused = self.failed.as_ref().is_some_and(|(_, until)| Instant::now() < *until);
        let Some(generation) = self.current else { return };
        let Some(zygote) = self.zygotes.get_mut(&generation) else { return };
        if zygote.stage != Stage::Ready || paused {
            return;
        }
        for _ in 0..missing.min(ASKED_MAX.saturating_sub(zygote.asked())) {
            self.worker += 1;
            if let Err(error) = zygote.fork(self.worker) {
                self.lose(generation, &format!("it takes no orders: {error}"));
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
        // The end of a pause matters to those who wait for it, and to a pool that is not full.
        let pause = self.failed.as_ref().map(|(_, until)| *until);
        let pause = pause.filter(|until| self.wanted && *until > Instant::now());
        [owed, pause].into_iter().flatten().min()
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
            self.lose(generation, &format!("no answer within {} ms", patience.as_millis()));
        }
    }

    fn publish(&self) {
        let current = self.current.and_then(|current| self.zygotes.get(&current));
        let health = Health {
            ready: self.is_ready(),
            pid: current.and_then(|zygote| zygote.pid),
            started: self.newest,
            idle: self.idle.len(),
            living: self.zygotes.values().map(Zygote::living).sum(),
            layers: Arc::clone(&self.layers),
            error: self.failed.as_ref().map(|(error, _)| error.to_string()),
            ..Health::new(self.backend, self.launch.engine)
        };
        self.tell.send_if_modified(|old| {
            let changed = *old != health;
            if changed {
                *old = health;
            }
            changed
        });
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
