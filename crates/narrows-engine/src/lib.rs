//! The heart: one [`Ask`] in, one [`Answer`] out.
//!
//! Nothing above knows a hand (upstream, sandbox, store), nothing below knows a door. Every tool
//! call, from a program or direct, passes [`call`]; every program passes [`admit`] and [`run`].

mod access;
mod admit;
mod audit;
pub mod cache;
mod call;
mod config;
mod crew;
mod effect;
mod effects;
mod entry;
mod face;
mod follow;
mod intents;
mod jobs;
mod journal;
mod ledger;
mod life;
mod lineup;
mod list;
mod listen;
mod live;
mod offers;
mod own;
mod pass;
mod past;
mod recall;
mod redact;
mod report;
mod resume;
mod run;
mod runs;
mod schedules;
mod scratch;
mod seal;
mod search;
mod sessions;
mod snapshot;
mod state;
mod trail;
mod visible;

pub use access::{Entry, Knock};
pub use config::{Access, Config, Jobs, Key, Sessions};
pub use narrows_catalog::shape::render_paused;
pub use narrows_catalog::{Exposure, Prefix, ServerExposure, ToolExposure};

use access::{Doorman, Switch};
use admit::Gate;
use arc_swap::ArcSwap;
use audit::Audit;
use cache::Cache;
use futures_util::FutureExt;
use futures_util::future::join_all;
use journal::Scribe;
use life::Belongs;
use live::Live;
use narrows_catalog::Server;
use narrows_sandbox::Sandbox;
use narrows_store::Store;
use narrows_types::{
    Answer, Ask, Changes, Event, Fault, IntentsAsk, JobWork, Principal, RunAsk, RunReport,
    SearchAnswer, SearchAsk, ServerListing, ServerState, ServerStatus, What, fault,
};
use narrows_upstream::Fleet;
use offers::Offers;
use recall::{Owners, Tasks};
use seal::Seal;
use snapshot::{Library, Snapshot};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use visible::Visible;

/// The time between two sweeps of the store.
const SWEEP_PAUSE: Duration = Duration::from_mins(1);

/// How long the engine's own tasks may take to finish.
const TASKS_WAIT: Duration = Duration::from_secs(5);

/// Where a door hears of progress while it waits. A full channel drops events.
pub type Events = mpsc::Sender<Event>;

/// The hands that the engine works with.
pub struct Parts {
    /// Servers that we call.
    pub fleet: Fleet,
    /// Where programs run.
    pub sandbox: Sandbox,
    /// What outlives a request.
    pub store: Store,
    /// Settings.
    pub config: Config,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    fleet: Fleet,
    sandbox: Sandbox,
    store: Store,
    settings: watch::Sender<Arc<Config>>,
    doorman: ArcSwap<Doorman>,
    switch: Switch,
    seal: Seal,
    audit: Audit,
    gate: Gate,
    passes: Gate,
    library: Library,
    offers: Offers,
    owners: Owners,
    tasks_of: Tasks,
    cache: Arc<Cache>,
    changes: Arc<watch::Sender<Changes>>,
    /// Counts changes of ours that may concern every list.
    bumps: watch::Sender<u64>,
    scribe: Scribe,
    live: Arc<Live>,
    /// The intents that each principal sees.
    visible: Visible,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Engine {
    /// Puts the engine together and starts its own tasks. No upstream is started.
    pub async fn start(parts: Parts) -> Result<Self, Fault> {
        let Parts { fleet, sandbox, store, config } = parts;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let seal = Seal::new(&store.secret("seal").await?)?;
        let gate = Gate::new("runs", config.runs_parallel, config.runs_waiting);
        let passes = Gate::new("requests", config.passes_parallel, config.passes_parallel);
        let doorman = ArcSwap::from_pointee(Doorman::new(config.access.clone(), &seal));
        let (settings, heard) = watch::channel(Arc::new(config));
        let (library, librarian) = snapshot::open(&fleet, &store, heard).await;
        tasks.spawn(librarian.run(stop.clone()));
        let (scribe, clerk) = journal::open(&store);
        tasks.spawn(clerk.run(stop.clone()));
        let changes = Arc::new(watch::channel(Changes::default()).0);
        let (bumps, bumped) = watch::channel(0);
        let teller =
            Shared::tell_changes(fleet.clone(), Arc::clone(&changes), bumped, stop.clone());
        tasks.spawn(teller);
        let shared = Shared {
            fleet,
            sandbox,
            store,
            settings,
            doorman,
            switch: Switch::default(),
            seal,
            audit: Audit::default(),
            gate,
            passes,
            library,
            offers: Offers::default(),
            owners: Owners::default(),
            tasks_of: Tasks::default(),
            cache: Arc::default(),
            changes,
            bumps,
            scribe,
            live: Arc::default(),
            visible: Visible::default(),
            stop,
            tasks,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Answers one request. Dropping the future cancels it: its worker dies, its calls are
    /// cancelled upstream.
    pub async fn ask(&self, ask: Ask, events: Option<Events>) -> Result<Answer, Fault> {
        match AssertUnwindSafe(Box::pin(Shared::ask(&self.shared, ask, events)))
            .catch_unwind()
            .await
        {
            Ok(answer) => answer,
            Err(_panic) => {
                let id = effects::seed().unwrap_or(0);
                tracing::error!("request panicked, id {id:016x}");
                Err(Fault::bug(format!("narrows failed on this request, id {id:016x}"))
                    .hint("see the log; report it with the id"))
            }
        }
    }

    /// Learns the tools of every upstream that is not known yet; until each is listed or failed,
    /// or the time is over.
    pub async fn settle(&self, wait: Duration) {
        self.shared.settle(Instant::now() + wait).await;
    }

    /// What a serving house does beside its requests, until it is dropped: workers are warmed, the
    /// tools of upstreams that are not known yet are learned, and what expired is swept away.
    pub async fn upkeep(&self) {
        let warm = async {
            match self.shared.sandbox.warm().await {
                Ok(()) => audit::walls(&self.shared.sandbox.layers()),
                Err(e) => tracing::warn!("programs cannot run: {e}"),
            }
        };
        let list_wait = self.shared.settings.borrow().list_wait;
        tokio::join!(warm, self.settle(list_wait));
        loop {
            let now = effects::now_ms() / 1_000;
            if let Err(e) = self.shared.store.sweep(now).await {
                tracing::warn!("what expired was not swept: {e}");
            }
            self.shared.keep_usage().await;
            self.shared.forget_jobs().await;
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }

    /// Does jobs until `stop`, then finishes those under way.
    pub async fn work(&self, stop: CancellationToken) -> Result<(), Fault> {
        tokio::join!(self.shared.fill(stop.clone()), self.shared.work(stop)).1
    }

    /// Seals what a client is to bring back: only this principal, at any replica, can open it.
    pub fn seal_state(&self, principal: &Principal, state: &[u8]) -> String {
        self.shared.seal.seal(principal.name.as_bytes(), state)
    }

    /// What was sealed for this principal; none if it is not ours, or not theirs.
    pub fn open_state(&self, principal: &Principal, sealed: &str) -> Option<Vec<u8>> {
        self.shared.seal.open(principal.name.as_bytes(), sealed)
    }

    /// How often each kind of audit record was written since the start.
    pub fn audited(&self) -> BTreeMap<&'static str, u64> {
        self.shared.audit.counts()
    }

    /// The walls around programs that do not say where they run, each with whether it stands. Empty
    /// until a worker has started.
    pub fn walls(&self) -> BTreeMap<&'static str, bool> {
        let layers = self.shared.sandbox.layers();
        layers.iter().map(|state| (state.layer.name(), state.reached)).collect()
    }

    /// Stops accepting, lets the engine's own tasks finish, ends workers and upstreams.
    pub async fn shutdown(&self) {
        self.shared.gate.close();
        self.shared.passes.close();
        self.shared.keep_usage().await;
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(TASKS_WAIT, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("the last records were not written: the store is busy");
        }
        self.shared.sandbox.shutdown().await;
        self.shared.fleet.shutdown().await;
    }
}

impl Shared {
    async fn ask(self: &Arc<Self>, ask: Ask, events: Option<Events>) -> Result<Answer, Fault> {
        let Ask { principal, client, deadline, what } = ask;
        match what {
            What::Pass(pass) => {
                let passed = self.pass(&principal, client, deadline, pass, events).await?;
                Ok(Answer::Passed(passed))
            }
            What::Run(run) if run.state => {
                state::fits(&run)?;
                let report = self.run(principal, deadline, run, events).await?;
                Ok(Answer::Run(Box::new(report)))
            }
            What::Run(run) if run.background => {
                let options = run.job.clone();
                self.submit(&principal, JobWork::Run(run), options).await
            }
            What::Run(run) if run.follow => self.follow(principal, deadline, run, events).await,
            What::Run(run) => {
                let report = self.run(principal, deadline, run, events).await?;
                Ok(Answer::Run(Box::new(report)))
            }
            What::Search(search) => {
                Ok(Answer::Search(self.search(&principal, deadline, &search).await?))
            }
            What::Call(call) if call.server == intents::NAMESPACE => {
                let ask = IntentsAsk::Call { name: call.tool, input: Some(call.arguments) };
                self.intents(&principal, ask, deadline, events).await
            }
            What::Call(call) => {
                let whole = (deadline, &*client);
                Ok(Answer::Call(self.call_directly(&principal, whole, call, events).await?))
            }
            What::List(list) => Ok(Answer::Listed(self.list(&principal, deadline, &list).await?)),
            What::Tools { server } => {
                Ok(Answer::Tools(self.tools(&principal, server.as_deref()).await?))
            }
            What::Servers => Ok(Answer::Servers(self.servers(&principal))),
            What::Artifact { handle, offset, bytes } => {
                let part =
                    self.store.read_artifact(&principal.name, &handle, offset, bytes).await?;
                Ok(Answer::Artifact(part))
            }
            What::Resume { run, answers, background } => {
                self.resume(principal, (run, answers, background), deadline, events).await
            }
            What::Runs(runs) => self.runs(&principal, runs).await,
            What::Sessions(sessions) => self.sessions(&principal, sessions).await,
            What::Jobs(jobs) => self.jobs(&principal, jobs, deadline).await,
            What::Intents(intents) => self.intents(&principal, intents, deadline, events).await,
        }
    }

    async fn run(
        self: &Arc<Self>,
        principal: Principal,
        wait: Option<Duration>,
        ask: RunAsk,
        events: Option<Events>,
    ) -> Result<RunReport, Fault> {
        let grant = self.admit_run(&principal, wait, &ask).await?;
        let durability = ask.durability.unwrap_or(self.settings.borrow().durability);
        let belongs = Belongs { job: None, session: ask.session.clone() };
        let mut life = Self::begin(effects::run_id()?, grant, ask, durability, belongs)?;
        life.events = events;
        Box::pin(self.carry_out(life)).await
    }

    async fn search(
        &self,
        principal: &Principal,
        wait: Option<Duration>,
        ask: &SearchAsk,
    ) -> Result<SearchAnswer, Fault> {
        let start = Instant::now();
        // Asked before the snapshot is taken: what is listed by now is in it.
        let waiting = !self.unlisted().is_empty();
        let mut snapshot = self.current(principal).await;
        let (longest, more) = (snapshot.settings.list_wait, snapshot.settings.more_wait);
        let wait = wait.unwrap_or(longest).min(longest);
        if let Some(server) = &ask.server {
            snapshot = self.knowing(principal, [server.as_str()], start + wait).await;
        } else if waiting {
            let first = snapshot.catalog.tools().next().is_none();
            let wait = if first { wait } else { wait.min(more) };
            self.settle(start + wait).await;
            snapshot = self.current(principal).await;
        }
        let mut answer = search::search(&snapshot, ask)?;
        let mut late = self.unlisted();
        late.retain(|name| snapshot.catalog.servers().any(|server| server.name == *name));
        if ask.server.is_none() && !late.is_empty() {
            let names = fault::clip(late.join(", "), 200);
            answer.text.push_str("\n(still starting, not searched: ");
            answer.text.push_str(&names);
            answer.text.push(')');
        }
        Ok(answer)
    }

    async fn tools(
        &self,
        principal: &Principal,
        server: Option<&str>,
    ) -> Result<Vec<ServerListing>, Fault> {
        let deadline = Instant::now() + self.settings.borrow().list_wait;
        if let Some(name) = server {
            let snapshot = self.knowing(principal, [name], deadline).await;
            return Ok(vec![snapshot.catalog.server(name)?.listing()]);
        }
        if !self.unlisted().is_empty() {
            self.settle(deadline).await;
        }
        let snapshot = self.current(principal).await;
        Ok(snapshot.catalog.servers().map(Server::listing).collect())
    }

    /// The state of the upstreams that exist for a principal.
    fn servers(&self, principal: &Principal) -> Vec<ServerStatus> {
        let mut states = self.fleet.status();
        if let Some(scope) = self.doorman.load().scope(principal) {
            states.retain(|state| scope.contains(&state.server));
        }
        states
    }

    /// The snapshot of what exists for a principal.
    async fn current(&self, principal: &Principal) -> Arc<Snapshot> {
        let mut snapshot = self.library.current().await;
        if let Some(scope) = self.doorman.load().scope(principal) {
            snapshot = snapshot.confined(scope);
        }
        match self.intents_of(principal).await {
            Some(intents) => snapshot.with(&intents),
            None => snapshot,
        }
    }

    /// Upstreams whose tools may still become known.
    fn unlisted(&self) -> Vec<String> {
        let states = self.fleet.status();
        let listed = self.library.listed();
        let waiting = |s: &ServerStatus| {
            !matches!(s.state, ServerState::Failed | ServerState::Disabled)
                && !listed.iter().any(|l| l.server == s.server)
        };
        states.into_iter().filter(waiting).map(|s| s.server).collect()
    }

    /// The snapshot, once it knows the tools of these upstreams (identifiers or names; what is none
    /// is passed over) or the deadline or the configured wait is over. No other upstream is waited
    /// for.
    async fn knowing(
        &self,
        principal: &Principal,
        servers: impl IntoIterator<Item = &str>,
        deadline: Instant,
    ) -> Arc<Snapshot> {
        let snapshot = self.current(principal).await;
        let mut empty: Vec<&str> = servers
            .into_iter()
            .filter_map(|name| snapshot.catalog.server(name).ok())
            .filter(|server| server.tools.is_empty())
            .map(|server| server.name.as_str())
            .collect();
        if empty.is_empty() {
            return snapshot;
        }
        empty.sort_unstable();
        empty.dedup();
        let deadline = deadline.min(Instant::now() + snapshot.settings.list_wait);
        let listed = join_all(empty.into_iter().map(|name| self.fleet.refresh(name)));
        // What is not listed by then is checked when it is called.
        let _late = tokio::time::timeout_at(deadline, listed).await;
        self.current(principal).await
    }

    /// The snapshot, once every upstream that may have a tool of this name had its time to say so.
    async fn told(&self, principal: &Principal, name: &str, deadline: Instant) -> Arc<Snapshot> {
        let late = self.unlisted();
        if late.is_empty() {
            return self.current(principal).await;
        }
        let exposure = Arc::clone(&self.settings.borrow());
        let named = late.iter().find(|server| {
            let prefix = exposure.exposure.name(server, "");
            !prefix.is_empty() && name.starts_with(&prefix)
        });
        if let Some(server) = named {
            return self.knowing(principal, [server.as_str()], deadline).await;
        }
        self.settle(deadline).await;
        self.current(principal).await
    }

    /// Waits until every upstream is listed or failed, at most until the deadline and for the
    /// configured time.
    async fn settle(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let longest = self.settings.borrow().list_wait;
        self.fleet.list_all(left.min(longest)).await;
    }

    /// Writes down how often tools were called since the last time.
    async fn keep_usage(&self) {
        let snapshot = self.library.last();
        let calls: Vec<_> = snapshot
            .catalog
            .tools()
            .map(|t| (t.server.name.clone(), t.tool.spec.name.clone(), t.tool.take_calls()))
            .filter(|(_, _, calls)| *calls > 0)
            .collect();
        if let Err(e) = self.store.add_usage(&calls).await {
            tracing::warn!("the calls of {} tools were not counted: {e}", calls.len());
        }
    }
}
