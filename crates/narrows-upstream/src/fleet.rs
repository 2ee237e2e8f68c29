//! All upstreams together: the one thing that the engine holds.

mod admit;
mod reload;

pub(crate) use admit::Place;
pub use reload::Reloaded;

use crate::board::{Board, Cell, Connected};
use crate::builtin::Inside;
use crate::cache::Cache;
use crate::config::{Config, Launch, ServerConfig};
use crate::error::UpstreamError;
use crate::gate::{Caller, Gate};
use crate::keeper::{Keeper, Means, Want};
use crate::rounds::{Answered, Asks, Rounds};
use crate::session::{Body, Introduction, Reply};
use crate::spawn::Nursery;
use crate::wire::Failure;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use narrows_protocol::{code, views};
use narrows_types::fault::clip;
use narrows_types::{
    Changes, ClientSession, Event, Offering, ServerListing, ServerStatus, ToolResult, Update,
};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Wants that wait for one keeper.
const WANTS_MAX: usize = 1_024;
/// A start that takes longer lets the next one begin: a hanging server delays nobody for long.
const SLOW_START: Duration = Duration::from_secs(8);
/// How long all upstreams together may take to end.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(6);
/// How long a notification may take to be handed over.
const NOTICE_WAIT: Duration = Duration::from_secs(5);
/// Bytes of an upstream's error message that is passed on.
const MESSAGE_BYTES_MAX: usize = 280;

/// All upstreams. Cheap to clone; when the last clone is dropped, every upstream ends.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    board: Arc<Board>,
    starts: Semaphore,
    stop: CancellationToken,
    tasks: TaskTracker,
    result_bytes: usize,
    /// Calls of all upstreams together.
    gate: Arc<Gate>,
    /// With what upstreams are started.
    means: Mutex<Means>,
    #[expect(dead_code, reason = "held for what its end does: upstreams stop")]
    guard: DropGuard,
}

/// Until when and with whom listening a call is made.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// When the call is given up. The upstream's own limit may be earlier.
    pub deadline: Instant,
    /// Where progress is told. A full channel misses some.
    pub progress: Option<mpsc::Sender<Event>>,
    /// Who asks: callers take turns where there are too many calls.
    pub caller: Caller,
    /// A person can be asked, and this is what was answered; none where nobody can.
    pub rounds: Option<Rounds>,
}

impl Fleet {
    /// Takes the upstreams in and starts none of them. Needs a tokio runtime around it.
    ///
    /// Fails on a config that cannot be served: names that are empty or not unique, no runtime.
    pub fn start(config: Config) -> Result<Self, UpstreamError> {
        let wrong = |reason: String| UpstreamError::Config { reason };
        check_names(&config.servers)?;
        let has_children = config
            .servers
            .iter()
            .any(|server| server.enabled && matches!(server.launch, Launch::Stdio { .. }));
        let nursery =
            has_children.then(Nursery::new).transpose().map_err(|e| wrong(e.to_string()))?;
        let tasks = TaskTracker::new();
        let introduction = Arc::new(Introduction {
            name: config.client_name.clone(),
            version: config.client_version.clone(),
        });
        let cache = config.cache_dir.map(Cache::new);
        let means = Means { introduction, nursery, cache, logins: config.logins.clone() };
        let stop = CancellationToken::new();
        let mut cells = Vec::with_capacity(config.servers.len());
        let mut kept = Vec::new();
        let (updates, _) = broadcast::channel(crate::news::WAITING_MAX);
        for server in config.servers {
            let (cell, wants) = cell(server, updates.clone(), stop.child_token())?;
            let kept_offer = means.cache.as_ref().filter(|_| wants.is_some());
            if let Some(offer) = kept_offer.and_then(|cache| cache.load(&cell.config.launch)) {
                cell.set_offer(offer);
            }
            let cell = Arc::new(cell);
            cells.push(Arc::clone(&cell));
            kept.extend(wants.map(|wants| (cell, wants)));
        }
        let board = Arc::new(Board::new(cells, updates));
        for (cell, wants) in kept {
            let (board, stop) = (Arc::clone(&board), cell.stop.clone());
            tasks.spawn(Keeper::new(board, cell, wants, means.clone(), stop).run());
        }
        let result_bytes = config.result_bytes_max;
        let starts = Semaphore::new(config.start_concurrency.max(1));
        let guard = stop.clone().drop_guard();
        let gate = Arc::new(Gate::new(config.concurrency, config.queue));
        let means = Mutex::new(means);
        let inner = Inner { board, starts, stop, tasks, result_bytes, gate, means, guard };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What every upstream offers, as far as it is known; changes as upstreams get listed.
    pub fn listings(&self) -> watch::Receiver<Arc<Vec<ServerListing>>> {
        self.inner.board.listings()
    }

    /// How often each list changed since Narrows started.
    pub fn changes(&self) -> watch::Receiver<Changes> {
        self.inner.board.changes()
    }

    /// Resources that are updated from now on, of all upstreams and whoever subscribed to them.
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        self.inner.board.updates()
    }

    /// What each upstream declared that it can do, as far as that is known.
    pub fn offers(&self) -> Vec<Offering> {
        let cells = self.inner.board.cells();
        let cells = cells.iter().filter(|cell| cell.config.enabled);
        cells.filter_map(|cell| cell.offering()).collect()
    }

    /// A client went away: what was kept for its conversation ends.
    pub fn farewell(&self, session: ClientSession) {
        for cell in self.inner.board.cells().iter() {
            let lanes = cell.lanes.get().is_none_or(|lanes| lanes.farewell(session));
            if let Some(wants) = &cell.wants
                && (wants.try_send(Want::Farewell(session)).is_err() || !lanes)
            {
                tracing::debug!(server = cell.name(), "a farewell was not heard");
            }
        }
    }

    /// The roots of a client changed: the upstreams that it has connections of its own to are told.
    pub async fn roots_changed(&self, session: ClientSession) {
        for cell in self.inner.board.cells().iter() {
            let own = cell.lanes.get().and_then(|lanes| lanes.of_session(session));
            let Some(connected) = own else { continue };
            let revision = Some(connected.agreed.revision);
            let deadline = Some(Instant::now() + NOTICE_WAIT);
            if let Err(failure) = connected.peer.ask(Body::RootsChanged, revision, deadline).await {
                tracing::debug!(server = cell.name(), "its roots changed: {failure}");
            }
        }
    }

    /// The state of every upstream, in the order of the config.
    pub fn status(&self) -> Vec<ServerStatus> {
        self.inner.board.cells().iter().map(|cell| cell.status()).collect()
    }

    /// Whether the config keeps a tool back: its server is switched off, or the tool is hidden.
    pub fn withholds(&self, server: &str, tool: &str) -> bool {
        let cells = self.inner.board.cells();
        let config = cells.iter().find(|cell| cell.name() == server).map(|cell| &cell.config);
        config.is_some_and(|config| !config.enabled || !crate::listing::allowed(config, tool))
    }

    /// Starts every upstream whose tools are not known, a few at once, and waits until each is
    /// listed or failed, or `wait` is over.
    pub async fn list_all(&self, wait: Duration) {
        let deadline = Instant::now() + wait;
        let cells = self.inner.board.unlisted();
        let mut listing: FuturesUnordered<_> = cells.iter().map(|cell| self.list(cell)).collect();
        let all = async { while listing.next().await.is_some() {} };
        if tokio::time::timeout_at(deadline, all).await.is_err() {
            tracing::debug!("not every server was listed within {} ms", wait.as_millis());
        }
    }

    async fn list(&self, cell: &Cell) {
        let Ok(turn) = self.inner.starts.acquire().await else { return };
        let listed = ask_tools(cell, false);
        tokio::pin!(listed);
        if tokio::time::timeout(SLOW_START, &mut listed).await.is_err() {
            drop(turn);
            listed.await;
        }
    }

    /// Lists the tools of one upstream anew, starting it if need be. Ends also if that fails.
    pub async fn refresh(&self, server: &str) {
        if let Ok(cell) = self.cell(server) {
            ask_tools(&cell, true).await;
        }
    }

    /// Calls a tool. A result with `is_error` is `Ok`. Dropping the future cancels the call, also
    /// at the upstream. A call that surely never reached the upstream is sent once more.
    pub async fn call(
        &self,
        server: &str,
        tool: &str,
        arguments: &RawValue,
        options: CallOptions,
    ) -> Result<ToolResult, UpstreamError> {
        let options = CallOptions { rounds: None, ..options };
        match self.call_in_rounds(server, tool, arguments, options).await? {
            Answered::Result(result) => Ok(result),
            Answered::Asks(_) => {
                let reason = "it asks for input that was not offered".to_owned();
                Err(UpstreamError::Protocol { server: server.to_owned(), reason })
            }
        }
    }

    /// The same, where a person can be asked: a modern server may want input first.
    pub async fn call_in_rounds(
        &self,
        server: &str,
        tool: &str,
        arguments: &RawValue,
        options: CallOptions,
    ) -> Result<Answered, UpstreamError> {
        let start = Instant::now();
        let (cell, _leave) = self.enter(server, options.caller, options.deadline).await?;
        let cell = &*cell;
        if !crate::listing::allowed(&cell.config, tool) {
            let what = format!("tool {server}.{tool}");
            return Err(UpstreamError::Disabled { server: server.to_owned(), what });
        }
        let deadline = options.deadline.min(start + cell.config.call_timeout);
        if let Some(inside) = &cell.inside {
            return inside.call(tool, arguments, deadline).await.map(Answered::Result);
        }
        let mut reply = Err(Failure::Timeout);
        for _ in 0..2 {
            let connected = connect(cell, tool, start, deadline).await?;
            let mirrored = mirrored(cell, &connected, tool, arguments.get())?;
            let body = Body::Call {
                tool: tool.to_owned(),
                arguments: arguments.to_owned(),
                mirrored,
                rounds: options.rounds.clone(),
            };
            let revision = Some(connected.agreed.revision);
            let progress = options.progress.clone();
            let limit = self.inner.result_bytes;
            reply = connected.peer.ask_for(limit, body, revision, Some(deadline), progress).await;
            cell.judge(&reply, start);
            match &reply {
                // It surely never arrived.
                Err(Failure::Lost { sent: false, .. }) => {}
                Err(Failure::Lost { sent: true, .. }) if cell.may_repeat(tool) => {}
                // Our headers follow an old definition of the tool.
                Err(Failure::Rpc(error)) if error.code == code::HEADER_MISMATCH => {
                    let listed = tokio::time::timeout_at(deadline, ask_tools(cell, true)).await;
                    if listed.is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
        let asks = options.rounds.is_some();
        let result = result(cell, tool, reply, (deadline.duration_since(start), asks));
        if let Err(error) = &result
            && error.is_of_the_connection()
        {
            cell.complain(error.to_string());
        }
        result
    }

    /// Ends every upstream and waits until its processes are gone.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(SHUTDOWN_WAIT, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("some servers did not end within {} s", SHUTDOWN_WAIT.as_secs());
        }
    }

    pub(crate) fn result_bytes(&self) -> usize {
        self.inner.result_bytes
    }

    pub(crate) fn cell(&self, server: &str) -> Result<Arc<Cell>, UpstreamError> {
        let cells = self.inner.board.cells();
        let Some(cell) = cells.iter().find(|cell| cell.name() == server) else {
            let names = cells.iter().map(|cell| cell.name());
            let nearest = narrows_types::nearest(server, names, 1).first().map(|n| (*n).to_owned());
            let server = clip(server.to_owned(), 64);
            return Err(UpstreamError::Unknown { server, nearest });
        };
        if cell.config.enabled {
            return Ok(Arc::clone(cell));
        }
        let what = format!("server {server}");
        Err(UpstreamError::Disabled { server: server.to_owned(), what })
    }
}

fn check_names(servers: &[ServerConfig]) -> Result<(), UpstreamError> {
    let mut names = HashSet::new();
    for server in servers {
        let name = server.name.as_str();
        let reason = if name.is_empty() {
            "a server needs a name".to_owned()
        } else if !names.insert(name) {
            format!("two servers are named {name}")
        } else {
            continue;
        };
        return Err(UpstreamError::Config { reason });
    }
    Ok(())
}

/// The cell of an upstream, and what its keeper listens to, if it has one.
fn cell(
    server: ServerConfig,
    updates: broadcast::Sender<Update>,
    stop: CancellationToken,
) -> Result<(Cell, Option<mpsc::Receiver<Want>>), UpstreamError> {
    if let Launch::Builtin(builtin) = &server.launch {
        let inside = Inside::open(&server.name, builtin)?;
        return Ok((Cell::new(server, Some(inside), None, updates, stop), None));
    }
    if !server.enabled {
        return Ok((Cell::new(server, None, None, updates, stop), None));
    }
    let (wants, heard) = mpsc::channel(WANTS_MAX);
    Ok((Cell::new(server, None, Some(wants), updates, stop), Some(heard)))
}

pub(crate) async fn ask_tools(cell: &Cell, fresh: bool) {
    let Some(wants) = &cell.wants else { return };
    let (reply, listed) = oneshot::channel();
    if wants.send(Want::Tools { fresh, reply }).await.is_ok() {
        // An error means that it failed; its status tells why.
        let _failed = listed.await;
    }
}

/// The connection of an upstream, which is started if there is none.
pub(crate) async fn connect(
    cell: &Cell,
    tool: &str,
    start: Instant,
    deadline: Instant,
) -> Result<Arc<Connected>, UpstreamError> {
    if let Some(connected) = cell.shared() {
        return Ok(connected);
    }
    let server = cell.name().to_owned();
    let stopped = || UpstreamError::Lost {
        server: cell.name().to_owned(),
        reason: "narrows is stopping".to_owned(),
        sent: false,
    };
    let Some(wants) = &cell.wants else { return Err(stopped()) };
    let (reply, connected) = oneshot::channel();
    let wait = async {
        if wants.send(Want::Connection(reply)).await.is_err() {
            return Err(stopped());
        }
        connected.await.unwrap_or_else(|_dropped| Err(stopped()))
    };
    match tokio::time::timeout_at(deadline, wait).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(timeout(server, tool, deadline.duration_since(start))),
    }
}

/// The arguments that a modern server wants repeated in headers.
pub(crate) fn mirrored(
    cell: &Cell,
    connected: &Connected,
    tool: &str,
    arguments: &str,
) -> Result<Vec<(String, String)>, UpstreamError> {
    if !connected.agreed.revision.is_modern() {
        return Ok(Vec::new());
    }
    cell.headers(tool, arguments).map_err(|message| UpstreamError::Answered {
        server: cell.name().to_owned(),
        tool: tool.to_owned(),
        message: clip(message, MESSAGE_BYTES_MAX),
    })
}

fn timeout(server: String, tool: &str, waited: Duration) -> UpstreamError {
    let ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    UpstreamError::Timeout { server, tool: tool.to_owned(), ms }
}

/// The reply as the engine takes it.
fn result(
    cell: &Cell,
    tool: &str,
    reply: Reply,
    (waited, asks): (Duration, bool),
) -> Result<Answered, UpstreamError> {
    let broken = |reason: String| {
        let reason = clip(reason, MESSAGE_BYTES_MAX);
        UpstreamError::Protocol { server: cell.name().to_owned(), reason }
    };
    match reply {
        Ok(told) if asks && narrows_protocol::rounds::asks(told.get()) => {
            Asks::read(told.get()).map(Answered::Asks).map_err(broken)
        }
        Ok(told) => views::tool_result_text(told.get()).map(Answered::Result).map_err(broken),
        Err(failure) => Err(failed(cell, tool, failure, waited)),
    }
}

/// A failure as the engine takes it.
pub(crate) fn failed(cell: &Cell, tool: &str, failure: Failure, waited: Duration) -> UpstreamError {
    let server = cell.name().to_owned();
    let answered = |message: String| UpstreamError::Answered {
        server: cell.name().to_owned(),
        tool: tool.to_owned(),
        message: clip(message, MESSAGE_BYTES_MAX),
    };
    match failure {
        Failure::Rpc(error) => answered(format!("error {}: {}", error.code, error.message)),
        Failure::Http { .. } => answered(failure.to_string()),
        Failure::Timeout => timeout(server, tool, waited),
        Failure::Lost { reason, sent } => UpstreamError::Lost { server, reason, sent },
        Failure::Stopped => UpstreamError::Stopped { server },
        Failure::Refused { status } => UpstreamError::Refused { server, status },
        Failure::Login { reason } => UpstreamError::Login { server, reason },
        Failure::Busy { reason, retry_ms } => UpstreamError::Busy { server, reason, retry_ms },
        Failure::Protocol(reason) => UpstreamError::Protocol { server, reason },
        Failure::TooLarge { bytes, limit } => {
            UpstreamError::TooLarge { server, tool: tool.to_owned(), bytes, limit }
        }
    }
}
