//! The sandbox: places to run, and who hands out workers.

use crate::guard::{Guard, Order};
use crate::lease::Lease;
use crate::owner::{self, Ask, Health};
use crate::spawn::Launch;
use crate::zygote::Fresh;
use crate::{Config, SandboxError};
use narrows_types::{Language, Layer, LayerState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Questions to an owner that wait; as many as may be asked at once anyway.
const ASKS_MAX: usize = 256;
/// How long workers and zygotes may take to be buried when the sandbox shuts down.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Where programs run. Cheap to clone; the last clone takes everything down with it.
#[derive(Debug, Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    /// Places to run.
    running: Arc<Semaphore>,
    /// Places to wait for one.
    waiting: Semaphore,
    typescript: Owner,
    python: Owner,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The way to the owner of one language's zygotes.
#[derive(Debug)]
struct Owner {
    asks: mpsc::Sender<Ask>,
    health: watch::Receiver<Health>,
}

impl Sandbox {
    /// Prepares a sandbox. No process is started before the first lease, [`Sandbox::warm`] or
    /// [`Sandbox::probe`].
    ///
    /// # Errors
    /// The binary is not there.
    pub async fn start(config: Config) -> Result<Self, SandboxError> {
        let program = config.program.display();
        match tokio::fs::metadata(&config.program).await {
            Ok(found) if found.is_file() => {}
            found => {
                let why = found.map_or_else(|e| e.to_string(), |_| "it is no file".to_owned());
                let reason = format!("{program}: {why}");
                return Err(SandboxError::Start { language: Language::TypeScript, reason });
            }
        }
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let owner = |language| {
            let (asks, asked) = mpsc::channel(ASKS_MAX);
            let (tell, health) = watch::channel(Health::new(language));
            let (program, args) = (config.program.clone(), config.args.clone());
            let launch = Launch { program, args, language };
            let pool = owner::Pool::new(config.clone(), launch, tell);
            tasks.spawn(pool.run(asked, stop.clone()));
            Owner { asks, health }
        };
        let (typescript, python) = (owner(Language::TypeScript), owner(Language::Python));
        let places = config.concurrent_max.max(1);
        let running = Arc::new(Semaphore::new(places));
        let waiting = Semaphore::new(config.waiting_max.min(Semaphore::MAX_PERMITS));
        let shared = Shared { config, running, waiting, typescript, python, stop, tasks };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Checks a worker out, waiting for a free place until `deadline`, which also is when the
    /// worker is killed unless [`Lease::arm`] says otherwise.
    ///
    /// # Errors
    /// There is no worker to be had: see [`SandboxError`].
    pub async fn lease(
        &self,
        language: Language,
        deadline: std::time::Instant,
    ) -> Result<Lease, SandboxError> {
        let deadline = Instant::from_std(deadline);
        let place = self.place(deadline).await?;
        let (answer, fresh) = oneshot::channel();
        let fresh = self.ask(language, Ask::Worker(answer), fresh, deadline).await?;
        Ok(self.guarded(fresh, place, deadline))
    }

    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, SandboxError> {
        let shared = &self.shared;
        match Arc::clone(&shared.running).try_acquire_owned() {
            Ok(place) => return Ok(place),
            Err(TryAcquireError::Closed) => return Err(SandboxError::Stopped),
            Err(TryAcquireError::NoPermits) => {}
        }
        let Ok(_waits) = shared.waiting.try_acquire() else {
            let (running, waiting) = (shared.config.concurrent_max, shared.config.waiting_max);
            return Err(SandboxError::Busy { running, waiting });
        };
        let place = timeout_at(deadline, Arc::clone(&shared.running).acquire_owned()).await;
        place.map_err(|_late| SandboxError::Timeout)?.map_err(|_closed| SandboxError::Stopped)
    }

    async fn ask<T>(
        &self,
        language: Language,
        ask: Ask,
        answer: oneshot::Receiver<Result<T, SandboxError>>,
        deadline: Instant,
    ) -> Result<T, SandboxError> {
        let asks = &self.owner(language).asks;
        let asked =
            timeout_at(deadline, asks.send(ask)).await.map_err(|_late| SandboxError::Timeout)?;
        asked.map_err(|_gone| SandboxError::Stopped)?;
        let answer = timeout_at(deadline, answer).await.map_err(|_late| SandboxError::Timeout)?;
        answer.map_err(|_gone| SandboxError::Stopped)?
    }

    /// Sets a watchdog beside the worker.
    fn guarded(&self, fresh: Fresh, place: OwnedSemaphorePermit, deadline: Instant) -> Lease {
        let grace = Duration::from_millis(self.shared.config.kill_grace_ms);
        let (orders, ordered) =
            watch::channel(Order { deadline: deadline + grace, limits: None, kill: false });
        let (tell, told) = watch::channel(None);
        let Fresh { stream, worker, ended, .. } = fresh;
        let guard = Guard { worker, orders: ordered, ended, tell, place };
        self.shared.tasks.spawn(guard.watch());
        Lease::new(stream, orders, told, grace)
    }

    /// Starts the zygotes of both languages and fills their pools, in parallel.
    ///
    /// # Errors
    /// One of them does not start; the other one may still serve.
    pub async fn warm(&self) -> Result<(), SandboxError> {
        let (typescript, python) =
            tokio::join!(self.ready(Language::TypeScript), self.ready(Language::Python));
        typescript.and(python)
    }

    /// Starts a zygote if none has started, and tells which layers hold here.
    ///
    /// # Errors
    /// No sandbox can be had here, or a required layer is missing.
    pub async fn probe(&self) -> Result<Vec<LayerState>, SandboxError> {
        self.ready(Language::TypeScript).await?;
        Ok(self.layers())
    }

    async fn ready(&self, language: Language) -> Result<(), SandboxError> {
        let (answer, answered) = oneshot::channel();
        // A little later than the owner itself gives up, so that its reason gets here.
        let wait = Duration::from_millis(self.shared.config.start_ms).saturating_mul(2);
        self.ask(language, Ask::Ready(answer), answered, Instant::now() + wait).await
    }

    /// Every layer, and whether it holds for each zygote that has started. Empty if none has.
    pub fn layers(&self) -> Vec<LayerState> {
        let healths = self.health().map(|health| health.layers);
        let mut known = healths.into_iter().filter(|layers| !layers.is_empty());
        let Some(mut layers) = known.next().map(|layers| layers.to_vec()) else {
            return Vec::new();
        };
        for others in known {
            for other in others.iter().filter(|other| !other.reached) {
                if let Some(state) = layers.iter_mut().find(|state| state.layer == other.layer) {
                    state.clone_from(other);
                }
            }
        }
        layers
    }

    /// Whether a layer holds. `false` if nothing has started.
    pub fn has(&self, layer: Layer) -> bool {
        self.layers().iter().any(|state| state.layer == layer && state.reached)
    }

    /// A snapshot of each language's pool.
    pub fn health(&self) -> [Health; 2] {
        [Language::TypeScript, Language::Python]
            .map(|language| self.owner(language).health.borrow().clone())
    }

    /// Programs that run now.
    pub fn running(&self) -> usize {
        let places = self.shared.config.concurrent_max.max(1);
        places.saturating_sub(self.shared.running.available_permits())
    }

    fn owner(&self, language: Language) -> &Owner {
        match language {
            Language::TypeScript => &self.shared.typescript,
            Language::Python => &self.shared.python,
        }
    }

    /// Kills every worker and every zygote, and waits until they are gone.
    pub async fn shutdown(&self) {
        self.shared.running.close();
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if timeout(SHUTDOWN, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("{} sandbox tasks do not end", self.shared.tasks.len());
        }
    }
}
