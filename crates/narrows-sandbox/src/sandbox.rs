//! The sandbox: places to run, and who hands out workers.

use crate::backend::{Backend, Fresh};
use crate::basic::Basic;
use crate::cgroup::{Cgroup, CgroupPlace};
use crate::choice::{CANDIDATES, Choice, Want};
use crate::docker::Docker;
use crate::guard::{Guard, Order};
use crate::kept::{Holder, Keeper};
use crate::lease::{Door, Lease};
use crate::owner::{self, Ask, Health};
use crate::spawn::{Launch, Walls};
use crate::{Config, SandboxError, microvm, proxy, solo};
use narrows_types::{BackendKind, BackendState, Engine, Language, Layer, LayerState};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{
    OnceCell, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch,
};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Questions to an owner that wait; as many as may be asked at once anyway.
const ASKS_MAX: usize = 256;
/// How long workers and zygotes may take to be buried when the sandbox shuts down.
const SHUTDOWN: Duration = Duration::from_secs(15);

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
    owners: Mutex<BTreeMap<At, Owner>>,
    keeper: Arc<Keeper>,
    proxies: Arc<proxy::Common>,
    choice: OnceCell<Choice>,
    cgroup: Arc<Cgroup>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// One kind of worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    backend: BackendKind,
    engine: Engine,
    network: bool,
}

/// The way to the owner of the workers of one engine on one back end.
#[derive(Debug, Clone)]
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
    pub async fn start(mut config: Config) -> Result<Self, SandboxError> {
        let program = config.program.display();
        match tokio::fs::metadata(&config.program).await {
            Ok(found) if found.is_file() => {}
            found => {
                let why = found.map_or_else(|e| e.to_string(), |_| "it is no file".to_owned());
                let reason = format!("{program}: {why}");
                return Err(SandboxError::Start { engine: Engine::Quickjs, reason });
            }
        }
        if config.backend == Some(BackendKind::Basic) {
            tracing::warn!("the sandbox back end is basic: programs run without any walls");
        }
        // Whoever names a group wants it.
        if matches!(config.cgroup.place, CgroupPlace::At(_)) {
            config.require.push(Layer::Cgroup);
        }
        let cgroup = Arc::new(Cgroup::new(config.cgroup.clone()));
        let places = config.concurrent_max.max(1);
        let running = Arc::new(Semaphore::new(places));
        let waiting = Semaphore::new(config.waiting_max.min(Semaphore::MAX_PERMITS));
        let tasks = TaskTracker::new();
        let idle = Duration::from_millis(config.sessions_idle_ms);
        let shared = Shared {
            keeper: Keeper::new(config.sessions_max, idle, tasks.clone()),
            config,
            running,
            waiting,
            owners: Mutex::default(),
            proxies: Arc::default(),
            choice: OnceCell::new(),
            cgroup,
            stop: CancellationToken::new(),
            tasks,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Checks a worker out, waiting for a free place until `deadline`, which also is when the
    /// worker is killed unless [`Lease::arm`] says otherwise.
    ///
    /// # Errors
    /// There is no worker to be had: see [`SandboxError`].
    pub async fn lease(
        &self,
        want: impl Into<Want>,
        deadline: std::time::Instant,
    ) -> Result<Lease, SandboxError> {
        let deadline = Instant::from_std(deadline);
        let place = self.place(deadline).await?;
        let at = self.find(want.into(), deadline).await?;
        self.fresh(at, place, deadline).await
    }

    /// Checks out the worker that holds a session's variables, or a new one that is to hold them,
    /// once no other program of the session has it.
    ///
    /// # Errors
    /// As [`Sandbox::lease`]; or the engine holds no variables, or an earlier program of the session
    /// does not end before the deadline.
    pub async fn lease_kept(
        &self,
        want: impl Into<Want>,
        holder: Holder,
        deadline: std::time::Instant,
    ) -> Result<Lease, SandboxError> {
        let deadline = Instant::from_std(deadline);
        let at = self.find(want.into(), deadline).await?;
        let At { backend, engine, .. } = at;
        if !engine.keeps_state() {
            return Err(SandboxError::Unkept(engine));
        }
        let kind = (backend, engine);
        let (turn, lease) = self.shared.keeper.take((holder, kind), deadline).await?;
        if let Some(lease) = lease {
            return Ok(lease.kept(turn));
        }
        let place = self.place(deadline).await?;
        Ok(self.fresh(at, place, deadline).await?.kept(turn))
    }

    /// Ends the workers that hold a session's variables.
    pub fn forget(&self, holder: &Holder) {
        self.shared.keeper.forget(holder);
    }

    async fn fresh(
        &self,
        at: At,
        place: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<Lease, SandboxError> {
        let (answer, fresh) = oneshot::channel();
        let fresh = self.ask(at, Ask::Worker(answer), fresh, deadline).await?;
        Ok(self.guarded(fresh, place, deadline, at))
    }

    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, SandboxError> {
        let shared = &self.shared;
        match Arc::clone(&shared.running).try_acquire_owned() {
            Ok(place) => return Ok(place),
            Err(TryAcquireError::Closed) => return Err(SandboxError::Stopped),
            Err(TryAcquireError::NoPermits) => {}
        }
        let (_wanting, freed) = shared.keeper.wants_place();
        let waits = shared.waiting.try_acquire();
        // A place that a worker without a program gives up is waited for in any case.
        if waits.is_err() && !freed {
            let (running, waiting) = (shared.config.concurrent_max, shared.config.waiting_max);
            return Err(SandboxError::Busy { running, waiting });
        }
        let place = timeout_at(deadline, Arc::clone(&shared.running).acquire_owned()).await;
        place.map_err(|_late| SandboxError::Timeout)?.map_err(|_closed| SandboxError::Stopped)
    }

    /// What would launch such a worker, and what would evaluate its program.
    ///
    /// # Errors
    /// There is no such worker: see [`SandboxError`].
    pub async fn settle(
        &self,
        want: impl Into<Want>,
        deadline: std::time::Instant,
    ) -> Result<(BackendKind, Engine), SandboxError> {
        let found = self.find(want.into(), Instant::from_std(deadline)).await?;
        Ok((found.backend, found.engine))
    }

    /// The worker for what is wanted.
    async fn find(&self, want: Want, deadline: Instant) -> Result<At, SandboxError> {
        let chosen = async {
            if let Some(backend) = want.backend {
                return Ok(backend);
            }
            self.choose().await.map(|choice| choice.backend)
        };
        let backend =
            timeout_at(deadline, chosen).await.map_err(|_late| SandboxError::Timeout)??;
        if !backend.runs(want.language) {
            return Err(SandboxError::Language { backend, language: want.language });
        }
        let engine = want.engine.unwrap_or_else(|| self.engine(backend, want.language));
        self.offers(engine, want.language)?;
        if !backend.carries(engine) {
            return Err(SandboxError::Pair { backend, engine });
        }
        let network = want.network;
        if network && !(engine.has_sockets() && backend == BackendKind::Process) {
            return Err(SandboxError::Network { backend, engine });
        }
        Ok(At { backend, engine, network })
    }

    /// Whether programs in a language may ask for this engine.
    ///
    /// # Errors
    /// It evaluates another language, or nobody offers it.
    pub fn offers(&self, engine: Engine, language: Language) -> Result<(), SandboxError> {
        if engine.language() != language {
            return Err(SandboxError::Engine { engine, language });
        }
        if !engine.is_embedded() && !self.shared.config.engines.contains(&engine) {
            return Err(SandboxError::NotOffered(engine));
        }
        Ok(())
    }

    /// Whether a back end has what evaluates programs that do not say. Where that is missing no
    /// other engine takes its place: the config wants it.
    fn suits(&self, backend: BackendKind) -> bool {
        [Language::TypeScript, Language::Python].into_iter().all(|language| {
            let engines = &self.shared.config.engines;
            let said = engines.iter().find(|engine| engine.language() == language);
            said.is_none_or(|engine| engine.is_embedded() || backend.carries(*engine))
        })
    }

    /// What evaluates a language on a back end where nobody says.
    fn engine(&self, backend: BackendKind, language: Language) -> Engine {
        let said = self.shared.config.engines.iter().copied();
        said.filter(|_| backend != BackendKind::Wasm)
            .find(|engine| engine.language() == language)
            .unwrap_or_else(|| backend.engine(language))
    }

    /// The back end where programs run that do not say: the one of the config, or the strongest
    /// that works, found out by starting a worker.
    ///
    /// # Errors
    /// None works here; the reason is the first one's.
    pub async fn choose(&self) -> Result<Choice, SandboxError> {
        if let Some(backend) = self.shared.config.backend {
            return Ok(Choice { backend, passed_over: Vec::new() });
        }
        let choice = self.shared.choice.get_or_try_init(|| async {
            let (mut first, mut passed_over) = (None, Vec::new());
            for backend in CANDIDATES.into_iter().filter(|backend| self.suits(*backend)) {
                match self.ready(backend, self.engine(backend, Language::TypeScript)).await {
                    Ok(()) => return Ok(Choice { backend, passed_over }.told()),
                    // A busy moment is no reason to take weaker walls from then on.
                    Err(error) if error.passes() => return Err(error),
                    Err(error) => {
                        passed_over.push((backend, error.bare()));
                        first.get_or_insert(error);
                    }
                }
            }
            Err(first.unwrap_or(SandboxError::Stopped))
        });
        choice.await.cloned()
    }

    async fn ask<T>(
        &self,
        at: At,
        ask: Ask,
        answer: oneshot::Receiver<Result<T, SandboxError>>,
        deadline: Instant,
    ) -> Result<T, SandboxError> {
        let asks = self.owner(at)?.asks;
        let asked =
            timeout_at(deadline, asks.send(ask)).await.map_err(|_late| SandboxError::Timeout)?;
        asked.map_err(|_gone| SandboxError::Stopped)?;
        let answer = timeout_at(deadline, answer).await.map_err(|_late| SandboxError::Timeout)?;
        answer.map_err(|_gone| SandboxError::Stopped)?
    }

    /// Sets a watchdog beside the worker.
    fn guarded(
        &self,
        fresh: Fresh,
        place: OwnedSemaphorePermit,
        deadline: Instant,
        At { backend, engine, .. }: At,
    ) -> Lease {
        let grace = Duration::from_millis(self.shared.config.kill_grace_ms);
        let order = Order { deadline: deadline + grace, limits: None, spent_us: 0, kill: false };
        let (orders, ordered) = watch::channel(order);
        let (tell, told) = watch::channel(None);
        let Fresh { read, write, worker, ended, door } = fresh;
        let stop = self.shared.stop.clone();
        let cgroup = self.shared.cgroup.around(backend);
        let guard = Guard { worker, orders: ordered, ended, tell, place, stop, cgroup };
        self.shared.tasks.spawn(guard.watch());
        let (tasks, common) = (self.shared.tasks.clone(), Arc::clone(&self.shared.proxies));
        let door = door.map(|listener| Door { listener, tasks, common });
        Lease::new((read, write), orders, told, grace, ((backend, engine), door))
    }

    /// Gets workers of both languages ready, in parallel.
    ///
    /// # Errors
    /// One of them does not start; the other one may still serve.
    pub async fn warm(&self) -> Result<(), SandboxError> {
        let backend = self.choose().await?.backend;
        let engine = |language| self.engine(backend, language);
        let typescript = self.ready(backend, engine(Language::TypeScript));
        if !backend.runs(Language::Python) {
            return typescript.await;
        }
        let (typescript, python) =
            tokio::join!(typescript, self.ready(backend, engine(Language::Python)));
        typescript.and(python)
    }

    /// Starts what is needed for a first worker if nothing has started, and tells which layers hold
    /// there.
    ///
    /// # Errors
    /// No sandbox can be had here, or a required layer is missing.
    pub async fn probe(&self) -> Result<Vec<LayerState>, SandboxError> {
        let backend = self.choose().await?.backend;
        self.ready(backend, self.engine(backend, Language::TypeScript)).await?;
        Ok(self.layers())
    }

    /// Tries one back end by starting a worker on it.
    pub async fn try_out(&self, backend: BackendKind) -> BackendState {
        self.try_engine(backend, self.engine(backend, Language::TypeScript)).await
    }

    /// Tries one engine on a back end by starting a worker there.
    pub async fn try_engine(&self, backend: BackendKind, engine: Engine) -> BackendState {
        let ready = self.ready(backend, engine).await;
        let layers = self.health().into_iter().find(|h| (h.backend, h.engine) == (backend, engine));
        BackendState {
            backend,
            layers: layers.map(|health| health.layers.to_vec()).unwrap_or_default(),
            why: ready.err().map(|error| error.bare()).unwrap_or_default(),
        }
    }

    /// Tries whether programs of an engine with sockets can have a network on the back end that has
    /// one, by starting a worker there.
    ///
    /// # Errors
    /// They cannot: why.
    pub async fn try_network(&self, engine: Engine) -> Result<(), SandboxError> {
        self.ready_at(At { backend: BackendKind::Process, engine, network: true }).await
    }

    async fn ready(&self, backend: BackendKind, engine: Engine) -> Result<(), SandboxError> {
        self.ready_at(At { backend, engine, network: false }).await
    }

    async fn ready_at(&self, at: At) -> Result<(), SandboxError> {
        let (answer, answered) = oneshot::channel();
        // A little later than the owner itself gives up, so that its reason gets here.
        let config = &self.shared.config;
        let machines = config.microvm.as_ref().filter(|_| at.backend == BackendKind::Microvm);
        let boot_ms = machines.map_or(0, |machines| machines.boot_ms);
        let wait = config.start_ms.saturating_add(boot_ms).saturating_mul(4);
        let wait = Duration::from_millis(wait);
        self.ask(at, Ask::Ready(answer), answered, Instant::now() + wait).await
    }

    /// Every layer, and whether it holds for each engine that has started on the back end that is
    /// used first. Empty if none has.
    pub fn layers(&self) -> Vec<LayerState> {
        let chosen = self.shared.config.backend.or(self.shared.choice.get().map(|c| c.backend));
        let healths = self.health().into_iter().filter(|health| Some(health.backend) == chosen);
        let mut known = healths.map(|health| health.layers).filter(|layers| !layers.is_empty());
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

    /// A snapshot of each pool that is in use.
    pub fn health(&self) -> Vec<Health> {
        let owners = self.shared.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.values().map(|owner| owner.health.borrow().clone()).collect()
    }

    /// Programs that run now.
    pub fn running(&self) -> usize {
        let places = self.shared.config.concurrent_max.max(1);
        let taken = places.saturating_sub(self.shared.running.available_permits());
        taken.saturating_sub(self.shared.keeper.count())
    }

    /// The owner of these workers, which begins with the first question.
    fn owner(&self, at: At) -> Result<Owner, SandboxError> {
        let mut owners = self.shared.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = owners.get(&at) {
            return Ok(owner.clone());
        }
        if self.shared.stop.is_cancelled() {
            return Err(SandboxError::Stopped);
        }
        let owner = self.begin(at)?;
        owners.insert(at, owner.clone());
        Ok(owner)
    }

    fn begin(&self, at: At) -> Result<Owner, SandboxError> {
        let At { backend, engine, network } = at;
        let mut config = self.shared.config.clone();
        let stop = self.shared.stop.clone();
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (tell, health) = watch::channel(Health::new(backend, engine));
        let (program, args) = (config.program.clone(), config.args.clone());
        let cgroup = Arc::clone(&self.shared.cgroup);
        let zygotes = |walls, network| Launch {
            program: program.clone(),
            args: args.clone(),
            engine,
            walls,
            network,
        };
        let solo: Arc<dyn Backend> = match backend {
            BackendKind::Process | BackendKind::Wasm => {
                let floor = backend == BackendKind::Process;
                let network = network.then(|| config.network.clone());
                let launch = zygotes(if floor { Walls::Floor } else { Walls::Best }, network);
                let pool = owner::Pool::new(backend, config, (launch, cgroup), tell);
                self.shared.tasks.spawn(pool.run(asked, stop));
                return Ok(Owner { asks, health });
            }
            BackendKind::Basic => Arc::new(Basic { program, args }),
            BackendKind::Docker => {
                let docker = config.docker.clone().ok_or_else(|| {
                    let why = "sandbox.docker is not set up".to_owned();
                    SandboxError::Backend { backend, why }
                })?;
                Arc::new(Docker::new(docker))
            }
            BackendKind::Microvm => {
                let machines = config.microvm.clone().ok_or_else(|| {
                    let why = "set `sandbox.microvm.image`; `cargo xtask microvm DIR` makes one";
                    SandboxError::Backend { backend, why: why.to_owned() }
                })?;
                config.start_ms = config.start_ms.saturating_add(machines.boot_ms);
                microvm::backend(machines, cgroup)
            }
        };
        let launching = (solo, self.shared.cgroup.around(backend));
        let pool = solo::Pool::new((backend, engine), config, launching, tell);
        self.shared.tasks.spawn(pool.run(asked, stop));
        Ok(Owner { asks, health })
    }

    /// Kills every worker and every zygote, and waits until they are gone.
    pub async fn shutdown(&self) {
        self.shared.running.close();
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if timeout(SHUTDOWN, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("{} sandbox tasks do not end", self.shared.tasks.len());
        }
        self.shared.cgroup.remove().await;
    }
}
