//! Puts the hands into the engine and the engine behind the doors.

mod sandbox;

pub(crate) use sandbox::sandbox_checks;

use crate::cli::doctor::Check;
use crate::compose;
use crate::config::{Environment, Settings};
use narrows_downstream as downstream;
use narrows_engine::{Engine, Parts};
use narrows_sandbox::Sandbox;
use narrows_store::{Clock, Store};
use narrows_types::{Answer, Ask, Event, Fault, Kind, Origin, Principal, What};
use narrows_upstream::{Fleet, Reloaded, ServerConfig};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long `doctor` waits for the store.
const STORE_WAIT: Duration = Duration::from_secs(10);

/// The whole house, ready to be asked.
pub(crate) struct House {
    engine: Engine,
    fleet: Fleet,
    /// Upstreams that no config can name.
    more: Vec<ServerConfig>,
    doors: Arc<downstream::Config>,
    /// What the store was opened with: a reload changes none of it.
    store: narrows_store::Config,
}

impl House {
    /// Opens the store, the fleet (nothing is started yet), the sandbox and the engine.
    pub(crate) async fn open(settings: &Settings, env: &Environment) -> Result<Self, Fault> {
        Self::open_with(settings, env, Vec::new()).await
    }

    /// The same with upstreams that no config can name.
    pub(crate) async fn open_with(
        settings: &Settings,
        env: &Environment,
        more: Vec<ServerConfig>,
    ) -> Result<Self, Fault> {
        provide_tls();
        let kept = compose::store(settings);
        let store = Store::open(&kept, Clock::system()).await?;
        let mut upstreams = compose::upstream(settings, env);
        upstreams.servers.extend(more.iter().cloned());
        let fleet = Fleet::start(upstreams)?;
        let sandbox = Sandbox::start(compose::sandbox(settings, env, program()?)).await?;
        sandbox::warn_of_basic(settings);
        let config = compose::engine(settings);
        let parts = Parts { fleet: fleet.clone(), sandbox, store, config };
        let engine = Engine::start(parts).await?;
        Ok(Self { engine, fleet, more, doors: Arc::new(compose::doors(settings)), store: kept })
    }

    /// Takes over another config without dropping a call: servers, names, modes, keys, the cache,
    /// runs, sessions, jobs. What was bound at the start stays: addresses, store, sandbox.
    pub(crate) fn reload(&self, settings: &Settings, env: &Environment) -> Result<String, Fault> {
        let mut upstreams = compose::upstream(settings, env);
        upstreams.servers.extend(self.more.iter().cloned());
        let told = self.fleet.reload(upstreams)?;
        sandbox::warn_of_basic(settings);
        self.engine.reload(compose::engine(settings));
        let Reloaded { kept, changed, added, removed } = told;
        let counts = [(kept, "kept"), (changed, "changed"), (added, "added"), (removed, "removed")];
        let counts = counts.iter().map(|(servers, what)| format!("{} {what}", servers.len()));
        let mut told = format!("servers: {}", counts.collect::<Vec<_>>().join(", "));
        if compose::store(settings) != self.store {
            told.push_str("; the store stays as it was until the next start");
        }
        Ok(told)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The routes of the HTTP door.
    pub(crate) fn router(&self) -> axum::Router {
        downstream::router(self.engine.clone(), Arc::clone(&self.doors))
    }

    /// Asks as the local user.
    pub(crate) async fn ask(
        &self,
        what: What,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Answer, Fault> {
        let client = Arc::default();
        let ask = Ask { principal: Principal::local(), client, deadline: None, what };
        self.engine.ask(ask, events).await
    }

    /// Serves MCP on standard input and output until it ends or `shutdown` is cancelled.
    pub(crate) async fn serve_stdio(&self, shutdown: CancellationToken) -> Result<(), Fault> {
        downstream::serve_stdio(self.engine.clone(), Arc::clone(&self.doors), shutdown)
            .await
            .map_err(|e| Fault::bug(format!("standard input and output: {e}")))
    }

    /// Serves HTTP until `shutdown` is cancelled; `bound` hears the address, once it is bound.
    pub(crate) async fn serve_http(
        &self,
        address: SocketAddr,
        bound: impl FnOnce(SocketAddr),
        shutdown: CancellationToken,
    ) -> Result<(), Fault> {
        let listener = TcpListener::bind(address).await.map_err(|e| {
            Fault::new(Kind::Unavailable, Origin::Narrows, format!("cannot bind {address}: {e}"))
                .hint("choose another address with --http")
        })?;
        bound(listener.local_addr().unwrap_or(address));
        downstream::serve_http(listener, self.router(), shutdown)
            .await
            .map_err(|e| Fault::bug(format!("http at {address}: {e}")))
    }

    /// The same at a Unix socket.
    pub(crate) async fn serve_local(
        &self,
        path: &Path,
        bound: impl FnOnce(),
        shutdown: CancellationToken,
    ) -> Result<(), Fault> {
        let place = path.display();
        let door = downstream::LocalDoor::bind(path).map_err(|e| {
            Fault::new(Kind::Unavailable, Origin::Narrows, format!("cannot bind unix:{place}: {e}"))
                .hint("choose another path with --http")
        })?;
        bound();
        door.serve(self.router(), shutdown)
            .await
            .map_err(|e| Fault::bug(format!("http at unix:{place}: {e}")))
    }

    /// Serves, and beside it does the jobs of the store and keeps the house in order: a client is
    /// answered at once, and its first search waits for less. Once `stop` is cancelled, or `doors`
    /// have ended, no more jobs are begun; those under way have `jobs.drain_ms`.
    pub(crate) async fn work(
        &self,
        doors: impl Future<Output = Result<(), Fault>>,
        stop: &CancellationToken,
    ) -> Result<(), Fault> {
        let doors = async {
            let served = doors.await;
            stop.cancel();
            served
        };
        let crew = async {
            // Without a crew the doors would take jobs that nobody does.
            let worked = self.engine.work(stop.clone()).await;
            stop.cancel();
            worked
        };
        tokio::select! {
            (served, worked) = async { tokio::join!(doors, crew) } => served.and(worked),
            () = self.engine.upkeep() => std::future::pending().await,
        }
    }

    /// Stops servers and workers, writes what is still to be written.
    pub(crate) async fn close(self) {
        self.engine.shutdown().await;
    }
}

/// What TLS is made with. A second House in one process finds it installed.
fn provide_tls() {
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

/// This binary: zygotes are made of it.
fn program() -> Result<PathBuf, Fault> {
    std::env::current_exe().map_err(|e| Fault::bug(format!("this binary is not found: {e}")))
}

/// Whether the store can be opened; nothing if the config names none that is understood.
pub(crate) async fn store_check(settings: &Settings) -> Option<Check> {
    provide_tls();
    let config = compose::store(settings);
    let place = narrows_store::place(&config.url).ok()?;
    let opened = tokio::time::timeout(STORE_WAIT, Store::open(&config, Clock::system())).await;
    let why = match opened {
        Ok(Ok(store)) => {
            store.close().await;
            return Some(Check::ok("store", format!("{place}; it can be reached")));
        }
        Ok(Err(e)) => e.to_string(),
        Err(_elapsed) => format!("no answer within {} s", STORE_WAIT.as_secs()),
    };
    let fix = "mend `store.url`, or start what it names";
    Some(Check::fail("store", format!("{place}; it cannot be reached: {why}"), fix))
}
