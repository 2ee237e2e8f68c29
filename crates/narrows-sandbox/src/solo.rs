//! The owner of workers that a back end launches one by one: one task, which keeps some ready.

use crate::backend::{Backend, Fresh};
use crate::owner::{Ask, Health};
use crate::{Config, SandboxError};
use narrows_types::{BackendKind, Engine, LayerState};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Workers that are launched at the same time: more only slow each other down.
const LAUNCHES_MAX: usize = 4;
/// The wait after the first failure; each further one doubles it, up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// So many launches in a row may fail before those who wait are told.
const PATIENCE: u32 = 2;

/// What came of a step.
enum Came {
    Prepared(Result<Vec<LayerState>, String>),
    Launched(Result<Fresh, String>),
}

/// The owner's state.
pub(crate) struct Pool {
    config: Config,
    kind: BackendKind,
    engine: Engine,
    backend: Arc<dyn Backend>,
    tell: watch::Sender<Health>,
    layers: Option<Arc<[LayerState]>>,
    steps: JoinSet<Came>,
    preparing: bool,
    launching: usize,
    launched: u64,
    idle: VecDeque<Fresh>,
    waiting: VecDeque<oneshot::Sender<Result<Fresh, SandboxError>>>,
    unready: Vec<oneshot::Sender<Result<(), SandboxError>>>,
    failures: u32,
    /// Why, and until when nothing is started.
    failed: Option<(SandboxError, Instant)>,
}

impl Pool {
    pub(crate) fn new(
        (kind, engine): (BackendKind, Engine),
        config: Config,
        backend: Arc<dyn Backend>,
        tell: watch::Sender<Health>,
    ) -> Self {
        Self {
            config,
            kind,
            engine,
            backend,
            tell,
            layers: None,
            steps: JoinSet::new(),
            preparing: false,
            launching: 0,
            launched: 0,
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            unready: Vec::new(),
            failures: 0,
            failed: None,
        }
    }

    /// The loop. Ends with the sandbox, and everything that waits ready with it.
    pub(crate) async fn run(mut self, mut asked: mpsc::Receiver<Ask>, stop: CancellationToken) {
        let mut wanted = false;
        loop {
            let pause = self.failed.as_ref().map(|(_, until)| *until);
            let pause = pause.filter(|until| wanted && *until > Instant::now());
            tokio::select! {
                () = stop.cancelled() => break,
                ask = asked.recv() => match ask {
                    Some(ask) => {
                        wanted = true;
                        self.answer(ask);
                    }
                    None => break,
                },
                Some(came) = self.steps.join_next() => match came {
                    Ok(came) => self.hear(came),
                    Err(broken) => self.broke(&broken.to_string()),
                },
                () = wait(pause) => {}
            }
            if wanted {
                self.tend();
            }
            self.publish();
        }
        self.steps.shutdown().await;
        for fresh in self.idle.drain(..) {
            fresh.worker.end();
            // Whoever ends it has to be given the time to.
            drop(timeout(Duration::from_secs(2), fresh.ended).await);
        }
        self.backend.close().await;
        self.publish();
    }

    fn answer(&mut self, ask: Ask) {
        if let Some((error, until)) = &self.failed
            && Instant::now() < *until
            && self.failures >= PATIENCE
        {
            let error = error.clone();
            return match ask {
                Ask::Worker(answer) => drop(answer.send(Err(error))),
                Ask::Ready(answer) => drop(answer.send(Err(error))),
            };
        }
        match ask {
            Ask::Worker(answer) => self.waiting.push_back(answer),
            Ask::Ready(answer) => self.unready.push(answer),
        }
    }

    fn hear(&mut self, came: Came) {
        match came {
            Came::Prepared(Ok(layers)) => {
                self.preparing = false;
                self.prepared(layers);
            }
            Came::Prepared(Err(why)) => {
                self.preparing = false;
                // It says why it does not work here; asking again at once would not change that.
                self.failures = self.failures.max(PATIENCE - 1);
                self.fail(why);
            }
            Came::Launched(Ok(fresh)) => {
                self.launching = self.launching.saturating_sub(1);
                self.launched += 1;
                self.idle.push_back(fresh);
                (self.failed, self.failures) = (None, 0);
            }
            Came::Launched(Err(why)) => {
                self.launching = self.launching.saturating_sub(1);
                self.fail(why);
            }
        }
    }

    /// A step ended without a word: a defect of ours. What was under way is counted anew.
    fn broke(&mut self, why: &str) {
        self.preparing = false;
        self.launching = self.steps.len();
        self.fail(format!("{why}; this is a bug"));
    }

    fn prepared(&mut self, layers: Vec<LayerState>) {
        let required =
            |state: &&LayerState| !state.reached && self.config.require.contains(&state.layer);
        let missing: Vec<_> = layers
            .iter()
            .filter(required)
            .map(|state| format!("{} ({})", state.layer, state.why))
            .collect();
        if missing.is_empty() {
            self.layers = Some(layers.into());
            (self.failed, self.failures) = (None, 0);
            return;
        }
        self.failures = self.failures.max(PATIENCE);
        self.refuse(SandboxError::Layers(missing.join(", ")));
    }

    fn fail(&mut self, why: String) {
        let why = narrows_types::fault::clip(why, 300);
        tracing::warn!(backend = %self.kind, engine = %self.engine, "no worker: {why}");
        self.failures = self.failures.saturating_add(1);
        self.refuse(SandboxError::Backend { backend: self.kind, why });
    }

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

    /// Brings everything to where it should be.
    fn tend(&mut self) {
        self.hand_out();
        let paused = self.failed.as_ref().is_some_and(|(_, until)| Instant::now() < *until);
        let asked = !self.waiting.is_empty() || !self.unready.is_empty();
        if paused || (self.failures >= PATIENCE && !asked) {
            return;
        }
        let patience = Duration::from_millis(self.config.start_ms);
        let (backend, engine) = (Arc::clone(&self.backend), self.engine);
        let late = move |_late| format!("not ready within {} ms", patience.as_millis());
        if self.layers.is_none() {
            if !self.preparing {
                self.preparing = true;
                self.steps.spawn(async move {
                    let prepared = timeout(patience, backend.prepare(engine)).await;
                    Came::Prepared(prepared.map_err(late).flatten())
                });
            }
            return;
        }
        let goal = self.waiting.len().saturating_add(self.config.warm);
        let missing = goal.saturating_sub(self.idle.len().saturating_add(self.launching));
        for _ in 0..missing.min(LAUNCHES_MAX.saturating_sub(self.launching)) {
            self.launching += 1;
            let backend = Arc::clone(&backend);
            self.steps.spawn(async move {
                let launched = timeout(patience, backend.launch(engine)).await;
                Came::Launched(launched.map_err(late).flatten())
            });
        }
        if self.idle.len() >= self.config.warm {
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

    fn publish(&self) {
        let health = Health {
            ready: self.layers.is_some(),
            started: self.launched,
            idle: self.idle.len(),
            layers: self.layers.clone().unwrap_or_default(),
            error: self.failed.as_ref().map(|(error, _)| error.to_string()),
            ..Health::new(self.kind, self.engine)
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
