//! The heart: one [`Ask`] in, one [`Answer`] out.
//!
//! Nothing above knows a hand (upstream, sandbox, store), nothing below knows a door. Every tool
//! call, from a program or direct, passes [`call`]; every program passes [`admit`] and [`run`].

mod admit;
mod audit;
mod call;
mod config;
mod effects;
mod news;
mod own;
mod pass;
mod report;
mod run;
mod search;
mod snapshot;
mod trail;

pub use config::Config;

use admit::Gate;
use audit::Auditor;
use call::CallContext;
use futures_util::FutureExt;
use futures_util::future::join_all;
use narrows_catalog::Server;
use narrows_sandbox::Sandbox;
use narrows_store::Store;
use narrows_types::{
    Answer, Ask, Event, Fault, Principal, RunAsk, RunReport, SearchAnswer, SearchAsk,
    ServerListing, ServerState, ServerStatus, What, fault,
};
use narrows_upstream::{Caller, Fleet};
use snapshot::{Library, Snapshot};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    config: Config,
    gate: Gate,
    library: Library,
    auditor: Auditor,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Engine {
    /// Puts the engine together and starts its own tasks. No upstream is started.
    pub async fn start(parts: Parts) -> Self {
        let Parts { fleet, sandbox, store, config } = parts;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (library, librarian) = snapshot::open(&fleet, &store).await;
        tasks.spawn(librarian.run(stop.clone()));
        let (auditor, clerk) = audit::open(&store);
        tasks.spawn(clerk.run(stop.clone()));
        let gate = Gate::new(&config);
        let shared = Shared { fleet, sandbox, store, config, gate, library, auditor, stop, tasks };
        Self { shared: Arc::new(shared) }
    }

    /// Answers one request. Dropping the future cancels it: its worker dies, its calls are
    /// cancelled upstream.
    pub async fn ask(&self, ask: Ask, events: Option<Events>) -> Result<Answer, Fault> {
        match AssertUnwindSafe(Box::pin(self.shared.ask(ask, events))).catch_unwind().await {
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
            if let Err(e) = self.shared.sandbox.warm().await {
                tracing::warn!("programs cannot run: {e}");
            }
        };
        tokio::join!(warm, self.settle(self.shared.config.list_wait));
        loop {
            let now = effects::now_ms() / 1_000;
            if let Err(e) = self.shared.store.sweep(now).await {
                tracing::warn!("what expired was not swept: {e}");
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }

    /// Stops accepting, lets the engine's own tasks finish, ends workers and upstreams.
    pub async fn shutdown(&self) {
        self.shared.gate.close();
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
    async fn ask(&self, ask: Ask, events: Option<Events>) -> Result<Answer, Fault> {
        let Ask { principal, client, deadline, what } = ask;
        match what {
            What::Run(run) => {
                let report = self.run(principal, deadline, run, events).await?;
                Ok(Answer::Run(Box::new(report)))
            }
            What::Search(search) => Ok(Answer::Search(self.search(deadline, &search).await?)),
            What::Call(call) => {
                let wait = deadline.unwrap_or(self.config.call_wait).min(self.config.call_wait);
                let deadline = Instant::now() + wait;
                let _place = self.gate.place(deadline).await?;
                let snapshot = self.knowing([call.server.as_str()], deadline).await;
                let caller = Caller::of(&principal.name, client.session);
                let progress = events;
                let context = CallContext { snapshot: &snapshot, deadline, progress, caller };
                let called =
                    self.invoke(context, &call.server, &call.tool, &call.arguments).await?;
                Ok(Answer::Call(called.result))
            }
            What::Pass(pass) => {
                let passed = self.pass(&principal, client, deadline, pass, events).await?;
                Ok(Answer::Passed(passed))
            }
            What::List(list) => Ok(Answer::Listed(self.list(&list).await?)),
            What::Tools { server } => Ok(Answer::Tools(self.tools(server.as_deref()).await?)),
            What::Servers => Ok(Answer::Servers(self.fleet.status())),
            What::Artifact { handle, offset, bytes } => {
                let part =
                    self.store.read_artifact(&principal.name, &handle, offset, bytes).await?;
                Ok(Answer::Artifact(part))
            }
        }
    }

    async fn run(
        &self,
        principal: Principal,
        wait: Option<Duration>,
        ask: RunAsk,
        events: Option<Events>,
    ) -> Result<RunReport, Fault> {
        let grant = self.gate.admit(&self.config, principal, wait, &ask).await?;
        let id = effects::run_id()?;
        let started_at = effects::now_ms();
        let language = ask.language;
        let ended = self.execute(&grant, ask, events).await?;
        let report = self.report(&grant, id, ended).await;
        self.auditor.record(&grant, language, started_at, &report);
        Ok(report)
    }

    async fn search(&self, wait: Option<Duration>, ask: &SearchAsk) -> Result<SearchAnswer, Fault> {
        let start = Instant::now();
        let wait = wait.unwrap_or(self.config.list_wait).min(self.config.list_wait);
        let mut snapshot = self.library.current().await;
        if let Some(server) = &ask.server {
            snapshot = self.knowing([server.as_str()], start + wait).await;
        } else if !self.unlisted().is_empty() {
            let first = snapshot.catalog.tools().next().is_none();
            let wait = if first { wait } else { wait.min(self.config.more_wait) };
            snapshot = self.settle(start + wait).await;
        }
        let mut answer = search::search(&snapshot, ask)?;
        let late = self.unlisted();
        if ask.server.is_none() && !late.is_empty() {
            let names = fault::clip(late.join(", "), 200);
            answer.text.push_str("\n(still starting, not searched: ");
            answer.text.push_str(&names);
            answer.text.push(')');
        }
        Ok(answer)
    }

    async fn tools(&self, server: Option<&str>) -> Result<Vec<ServerListing>, Fault> {
        let deadline = Instant::now() + self.config.list_wait;
        if let Some(name) = server {
            let snapshot = self.knowing([name], deadline).await;
            return Ok(vec![snapshot.catalog.server(name)?.listing()]);
        }
        let snapshot = if self.unlisted().is_empty() {
            self.library.current().await
        } else {
            self.settle(deadline).await
        };
        Ok(snapshot.catalog.servers().map(Server::listing).collect())
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
        servers: impl IntoIterator<Item = &str>,
        deadline: Instant,
    ) -> Arc<Snapshot> {
        let snapshot = self.library.current().await;
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
        let deadline = deadline.min(Instant::now() + self.config.list_wait);
        let listed = join_all(empty.into_iter().map(|name| self.fleet.refresh(name)));
        // What is not listed by then is checked when it is called.
        let _late = tokio::time::timeout_at(deadline, listed).await;
        self.library.current().await
    }

    /// Waits until every upstream is listed or failed, at most until the deadline and for the
    /// configured time, and gives the snapshot that knows of them.
    async fn settle(&self, deadline: Instant) -> Arc<Snapshot> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.fleet.list_all(left.min(self.config.list_wait)).await;
        self.library.current().await
    }
}
