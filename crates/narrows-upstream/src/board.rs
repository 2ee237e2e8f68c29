//! What is known of every upstream, for all to read. Each cell is written by its keeper; calls that
//! fail add what they met.

mod keeping;
#[cfg(test)]
mod tests;

use crate::builtin::Inside;
use crate::config::{Era, Launch, ServerConfig};
use crate::gate::Gate;
use crate::handshake::{Agreed, Offers};
use crate::health::{Health, Rule};
use crate::http::Places;
use crate::items::{Items, Shelf};
use crate::keeper::{Crew, Want};
use crate::lanes::Lanes;
use crate::listing::Offer;
use crate::news::News;
use crate::session::{Body, Peer, severity};
use arc_swap::{ArcSwap, ArcSwapOption};
use narrows_protocol::Revision;
use narrows_protocol::mirror::{self, Mirror, mirrors};
use narrows_types::fault::clip;
use narrows_types::{
    Changes, ListKind, Offering, ServerListing, ServerState, ServerStatus, ToolSpec, Update, raw,
};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes of the last error that is shown.
const ERROR_BYTES_MAX: usize = 400;
/// When an upstream that fails is left alone.
const RULE: Rule = Rule {
    strikes_max: 5,
    pause_first: Duration::from_secs(1),
    pause_max: Duration::from_secs(30),
};

/// A connection in use.
pub(crate) struct Connected {
    pub(crate) peer: Peer,
    pub(crate) agreed: Agreed,
    /// The rank of the log level that was set last.
    severity: AtomicU8,
}

impl Connected {
    pub(crate) fn new(peer: Peer, agreed: Agreed) -> Self {
        Self { peer, agreed, severity: AtomicU8::new(u8::MAX) }
    }

    /// Makes a legacy upstream log what a client wants to hear. Where several share a connection it
    /// logs what any of them wants; each hears its own part.
    pub(crate) async fn log(&self, level: &Arc<str>, deadline: Instant) {
        let Some(wanted) = severity(level).filter(|_| self.agreed.offers.logging) else { return };
        let set = self.severity.load(Ordering::Acquire);
        if wanted == set || (wanted > set && !self.peer.is_own()) {
            return;
        }
        self.severity.store(wanted, Ordering::Release);
        let body = Body::SetLevel(Arc::clone(level));
        let revision = Some(self.agreed.revision);
        if let Err(failure) = self.peer.ask(body, revision, Some(deadline)).await {
            tracing::debug!("the log level was not taken: {failure}");
        }
    }
}

/// One upstream.
pub(crate) struct Cell {
    pub(crate) config: ServerConfig,
    /// To its keeper; a built-in upstream has none.
    pub(crate) wants: Option<mpsc::Sender<Want>>,
    /// The tools inside Narrows, if it is built in.
    pub(crate) inside: Option<Inside>,
    connected: ArcSwapOption<Connected>,
    offer: ArcSwapOption<Offer>,
    /// The arguments that modern servers want repeated in headers, by tool.
    mirrors: ArcSwap<HashMap<String, Vec<Mirror>>>,
    listing: ArcSwapOption<ServerListing>,
    /// Tools that are called as tasks only.
    task_only: ArcSwap<HashSet<String>>,
    condition: ArcSwap<Condition>,
    /// How many of its calls are under way.
    pub(crate) gate: Arc<Gate>,
    /// Whether it is asked at all.
    pub(crate) health: Health,
    /// Ends it.
    pub(crate) stop: CancellationToken,
    /// What all of its connections tell by themselves.
    pub(crate) news: Arc<News>,
    /// Its other lists.
    pub(crate) shelf: Shelf,
    /// An empty one of them.
    pub(crate) nothing: Arc<Items>,
    offers: ArcSwapOption<Offers>,
    /// Connections of clients' own; its keeper looks after them.
    pub(crate) lanes: OnceLock<Arc<Lanes>>,
    /// Further connections for everybody, if there may be some.
    pub(crate) crew: OnceLock<Arc<Crew>>,
    /// Where it is, if it is reached over HTTP: made when it is first started.
    places: ArcSwapOption<Places>,
}

#[derive(Clone)]
struct Condition {
    state: ServerState,
    last_error: Option<String>,
}

impl Cell {
    pub(crate) fn new(
        config: ServerConfig,
        inside: Option<Inside>,
        wants: Option<mpsc::Sender<Want>>,
        updates: broadcast::Sender<Update>,
        stop: CancellationToken,
    ) -> Self {
        let limit = config.concurrency.unwrap_or(config.tier.concurrency());
        let gate = Arc::new(Gate::new(limit, config.queue.unwrap_or(config.tier.queue())));
        let news = Arc::new(News::new(&config.name, updates));
        let state = match (config.enabled, &inside) {
            (false, _) => ServerState::Disabled,
            (true, Some(_)) => ServerState::Ready,
            (true, None) => ServerState::Idle,
        };
        let listing = inside.as_ref().map(|inside| {
            let mut listing = inside.listing();
            listing.tools.retain(|tool| crate::listing::allowed(&config, &tool.name));
            Arc::new(listing)
        });
        Self {
            config,
            wants,
            inside,
            connected: ArcSwapOption::empty(),
            offer: ArcSwapOption::empty(),
            mirrors: ArcSwap::default(),
            listing: ArcSwapOption::new(listing),
            task_only: ArcSwap::default(),
            condition: ArcSwap::from_pointee(Condition { state, last_error: None }),
            gate,
            health: Health::new(RULE),
            stop,
            news,
            shelf: Shelf::default(),
            nothing: Arc::default(),
            offers: ArcSwapOption::empty(),
            lanes: OnceLock::new(),
            crew: OnceLock::new(),
            places: ArcSwapOption::empty(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether it is reached over HTTP, where arguments may be repeated in headers.
    pub(crate) fn over_http(&self) -> bool {
        matches!(self.config.launch, Launch::Http { .. })
    }

    /// Where it is, which `make` says the first time.
    pub(crate) fn places(
        &self,
        make: impl FnOnce() -> Result<Places, String>,
    ) -> Result<Arc<Places>, String> {
        if let Some(places) = self.known_places() {
            return Ok(places);
        }
        let made = Arc::new(make()?);
        // Whoever came first made those that all share.
        let first = self.places.compare_and_swap(&None::<Arc<Places>>, Some(Arc::clone(&made)));
        Ok(first.as_ref().map_or(made, Arc::clone))
    }

    pub(crate) fn known_places(&self) -> Option<Arc<Places>> {
        self.places.load_full()
    }

    /// The connection for the next request of anybody, if there is one that takes it.
    pub(crate) fn shared(&self) -> Option<Arc<Connected>> {
        let Some(crew) = self.crew.get() else { return self.connected() };
        if let Some(first) = self.connected() {
            return Some(crew.pick(first, self.over_http()));
        }
        let other = crew.any()?;
        if let Some(wants) = &self.wants {
            // The first one is started again meanwhile; nobody waits for it.
            let _full = wants.try_send(Want::Connection(oneshot::channel().0));
        }
        Some(other)
    }

    /// The connection, if there is one that takes requests.
    pub(crate) fn connected(&self) -> Option<Arc<Connected>> {
        self.connected.load_full().filter(|connected| !connected.peer.is_closed())
    }

    /// Whether it is spoken to in the modern era, if that is known.
    pub(crate) fn is_modern(&self) -> Option<bool> {
        if let Some(connected) = self.connected() {
            return Some(connected.agreed.revision.is_modern());
        }
        match self.config.era {
            Era::Modern => Some(true),
            Era::Legacy => Some(false),
            Era::Auto => {
                let offer = self.offer()?;
                Some(Revision::parse(&offer.revision)?.is_modern())
            }
        }
    }

    /// Whether it is known not to speak the legacy era.
    pub(crate) fn modern_only(&self) -> bool {
        self.config.era == Era::Modern || self.lanes.get().is_some_and(|lanes| lanes.modern_only())
    }

    /// It was found out that it does not speak the legacy era.
    pub(crate) fn set_modern_only(&self) {
        self.offer.rcu(|offer| {
            let offer = offer.as_deref()?;
            Some(Arc::new(Offer { modern_only: true, ..offer.clone() }))
        });
    }

    /// What it declared, if that is known.
    pub(crate) fn offers(&self) -> Option<Offers> {
        self.offers.load().as_deref().copied()
    }

    pub(crate) fn connect(&self, connected: Arc<Connected>) {
        self.offers.store(Some(Arc::new(connected.agreed.offers)));
        self.connected.store(Some(connected));
        self.condition.store(Arc::new(Condition { state: ServerState::Ready, last_error: None }));
    }

    pub(crate) fn disconnect(&self) {
        self.connected.store(None);
    }

    pub(crate) fn offer(&self) -> Option<Arc<Offer>> {
        self.offer.load_full()
    }

    /// The headers of a call with these arguments; the error says which argument fits none.
    pub(crate) fn headers(
        &self,
        tool: &str,
        arguments: &str,
    ) -> Result<Vec<(String, String)>, String> {
        let by_tool = self.mirrors.load();
        let Some(mirrors) = by_tool.get(tool) else { return Ok(Vec::new()) };
        let arguments: Value = serde_json::from_str(arguments).map_err(|e| e.to_string())?;
        mirror::headers(mirrors, &arguments)
    }

    /// Whether a tool of a legacy server is called as a task only.
    pub(crate) fn needs_task(&self, tool: &str) -> bool {
        self.task_only.load().contains(tool)
    }

    /// Takes what it offers now.
    pub(crate) fn set_offer(&self, offer: Offer) {
        let task_only = offer.tools.iter().filter(|tool| tool_needs_task(tool));
        let task_only = task_only.map(|tool| tool.name.clone()).collect();
        self.task_only.store(Arc::new(task_only));
        self.listing.store(Some(Arc::new(offer.listing(&self.config))));
        if self.over_http() {
            let mirrored = offer.tools.iter().filter_map(|tool| {
                // A tool that breaks the rules is not offered by a modern server.
                let mirrors = mirrors(&tool.input_schema).ok().filter(|m| !m.is_empty())?;
                Some((tool.name.clone(), mirrors))
            });
            self.mirrors.store(Arc::new(mirrored.collect()));
        }
        if let Some(declared) = &offer.capabilities {
            let declared = serde_json::from_str(declared.get()).unwrap_or_default();
            self.offers.store(Some(Arc::new(Offers::of(&declared))));
        }
        self.offer.store(Some(Arc::new(offer)));
    }

    /// What it declared, for those who pass it on.
    pub(crate) fn offering(&self) -> Option<Offering> {
        let text = |text: &str| RawValue::from_string(text.to_owned()).ok().map(Arc::from);
        let (modern, capabilities, instructions) =
            match (&self.inside, self.connected(), self.offer()) {
                (Some(_), ..) => {
                    let told = self.listing()?.instructions.clone();
                    (true, text(r#"{"tools":{}}"#)?, told)
                }
                (None, Some(connected), _) => {
                    let agreed = &connected.agreed;
                    let declared = Arc::clone(&agreed.capabilities);
                    (agreed.revision.is_modern(), declared, agreed.instructions.clone())
                }
                (None, None, Some(offer)) => {
                    let revision = Revision::parse(&offer.revision);
                    let declared = offer.capabilities.clone().or_else(|| text("{}"))?;
                    (
                        revision.is_some_and(Revision::is_modern),
                        declared,
                        offer.instructions.clone(),
                    )
                }
                (None, None, None) => return None,
            };
        let server = self.config.name.clone();
        Some(Offering { server, modern, capabilities, instructions })
    }

    /// Its tools, if they are known and it is switched on.
    pub(crate) fn listing(&self) -> Option<Arc<ServerListing>> {
        self.listing.load_full().filter(|_| self.config.enabled)
    }

    pub(crate) fn set_state(&self, state: ServerState) {
        self.condition.rcu(|now| Condition { state, last_error: now.last_error.clone() });
    }

    /// It is broken until it is started again.
    pub(crate) fn fail(&self, reason: String) {
        let last_error = Some(clip(reason, ERROR_BYTES_MAX));
        self.condition.store(Arc::new(Condition { state: ServerState::Failed, last_error }));
    }

    /// Something went wrong, but it serves. Its keeper may change the state meanwhile.
    pub(crate) fn complain(&self, reason: String) {
        let last_error = Some(clip(reason, ERROR_BYTES_MAX));
        self.condition.rcu(|now| Condition { state: now.state, last_error: last_error.clone() });
    }

    /// What `narrows servers` shows.
    pub(crate) fn status(&self) -> ServerStatus {
        let condition = self.condition.load();
        let offer = self.offer.load();
        let listing = self.listing.load();
        let connected = self.connected.load();
        let state = match condition.state {
            ServerState::Idle if offer.is_some() => ServerState::Cached,
            state => state,
        };
        let version = match (connected.as_deref(), offer.as_deref(), &self.config.launch) {
            (Some(connected), ..) => connected.agreed.server.version.clone(),
            (None, Some(offer), _) => offer.version.clone(),
            (None, None, Launch::Builtin(_)) => env!("CARGO_PKG_VERSION").to_owned(),
            (None, None, _) => String::new(),
        };
        let revision = match (connected.as_deref(), offer.as_deref()) {
            (Some(connected), _) => Some(connected.agreed.revision.as_str().to_owned()),
            (None, Some(offer)) => Some(offer.revision.clone()),
            (None, None) => None,
        };
        ServerStatus {
            server: self.config.name.clone(),
            transport: self.config.launch.transport().to_owned(),
            state,
            version: Some(version).filter(|version| !version.is_empty()),
            revision,
            tools: listing.as_ref().map_or(0, |listing| listing.tools.len()),
            skipped: offer.as_ref().map(|offer| offer.skipped.clone()).unwrap_or_default(),
            keeping: self.keeping(),
            last_error: condition.last_error.clone(),
        }
    }
}

fn tool_needs_task(tool: &ToolSpec) -> bool {
    let Some(definition) = tool.definition.as_deref() else { return false };
    let execution = raw::get(definition.get(), "execution");
    execution.and_then(|e| raw::get(e, "taskSupport")) == Some(r#""required""#)
}

/// All upstreams in the order of the config.
pub(crate) struct Board {
    cells: ArcSwap<Vec<Arc<Cell>>>,
    listings: watch::Sender<Arc<Vec<ServerListing>>>,
    changes: watch::Sender<Changes>,
    updates: broadcast::Sender<Update>,
}

impl Board {
    pub(crate) fn new(cells: Vec<Arc<Cell>>, updates: broadcast::Sender<Update>) -> Self {
        let (listings, _) = watch::channel(Arc::default());
        let (changes, _) = watch::channel(Changes::default());
        let cells = ArcSwap::from_pointee(cells);
        let board = Self { cells, listings, changes, updates };
        board.publish();
        board
    }

    /// The upstreams as they are now.
    pub(crate) fn cells(&self) -> Arc<Vec<Arc<Cell>>> {
        self.cells.load_full()
    }

    /// There are other upstreams from now on.
    pub(crate) fn replace(&self, cells: Vec<Arc<Cell>>) {
        self.cells.store(Arc::new(cells));
        self.publish();
        for kind in [ListKind::Prompts, ListKind::Resources] {
            self.changed(kind);
        }
    }

    /// The upstreams whose tools nobody has been told of. That one's keeper knows them is not
    /// enough: whoever waits for them reads what is published.
    pub(crate) fn unlisted(&self) -> Vec<Arc<Cell>> {
        let cells = self.cells();
        let published = self.listings.borrow();
        let known = |cell: &Cell| published.iter().any(|listing| listing.server == cell.name());
        cells.iter().filter(|cell| cell.config.enabled && !known(cell)).cloned().collect()
    }

    /// Where upstreams tell of resources that are updated.
    pub(crate) fn sender(&self) -> broadcast::Sender<Update> {
        self.updates.clone()
    }

    pub(crate) fn listings(&self) -> watch::Receiver<Arc<Vec<ServerListing>>> {
        self.listings.subscribe()
    }

    /// How often each list changed.
    pub(crate) fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    /// Resources that are updated from now on.
    pub(crate) fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    /// A list of some upstream changed.
    pub(crate) fn changed(&self, kind: ListKind) {
        self.changes.send_modify(|changes| match kind {
            ListKind::Tools => changes.tools += 1,
            ListKind::Prompts => changes.prompts += 1,
            ListKind::Resources | ListKind::Templates => changes.resources += 1,
        });
    }

    /// Tells everybody what all upstreams offer now, if that is news; gives whether it is.
    pub(crate) fn publish(&self) -> bool {
        let news = self.listings.send_if_modified(|published| {
            let now: Vec<ServerListing> = self
                .cells()
                .iter()
                .filter_map(|cell| cell.listing())
                .map(|listing| ServerListing::clone(&listing))
                .collect();
            let news = !same(published, &now);
            if news {
                *published = Arc::new(now);
            }
            news
        });
        if news {
            self.changed(ListKind::Tools);
        }
        news
    }
}

/// Whether two states of all listings are the same to a reader.
fn same(one: &[ServerListing], two: &[ServerListing]) -> bool {
    let tool = |one: &ToolSpec, two: &ToolSpec| {
        one.name == two.name
            && one.title == two.title
            && one.description == two.description
            && one.input_schema == two.input_schema
            && one.output_schema == two.output_schema
            && one.annotations == two.annotations
    };
    one.len() == two.len()
        && one.iter().zip(two).all(|(one, two)| {
            one.server == two.server
                && one.instructions == two.instructions
                && (one.ttl_ms, one.private) == (two.ttl_ms, two.private)
                && one.tools.len() == two.tools.len()
                && one
                    .tools
                    .iter()
                    .zip(&two.tools)
                    .all(|(one, two)| Arc::ptr_eq(one, two) || tool(one, two))
        })
}
