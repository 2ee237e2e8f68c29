//! The catalog's snapshot and the task that builds it anew when something changes.

use crate::access::Scope;
use crate::config::Config;
use crate::lineup::Lineup;
use narrows_catalog::hybrid::Usage;
use narrows_catalog::{Catalog, Observations, ToolRef, search::Index};
use narrows_store::Store;
use narrows_types::{Mode, ServerListing, ServerState};
use narrows_upstream::Fleet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Shapes that were seen wait here to be learned; a full queue drops them (they will be seen again).
const LESSONS_MAX: usize = 256;
/// Requests that wait for a snapshot at once.
const RENEWALS_MAX: usize = 64;
/// Lessons are gathered so long before the catalog is built anew.
const LESSON_PAUSE: Duration = Duration::from_millis(250);

/// Everything known of every tool at one moment.
pub(crate) struct Snapshot {
    pub(crate) catalog: Catalog,
    pub(crate) index: Index,
    pub(crate) settings: Arc<Config>,
    /// How often each tool had been called when Narrows started. It stays: a list of tools must not
    /// change because of what was asked before.
    usage: Arc<Usage>,
    /// The listings that it was built from.
    listings: Arc<Vec<ServerListing>>,
    /// What agents see, by mode; made when it is first asked for.
    lineups: [OnceLock<Arc<Lineup>>; 3],
    /// The parts of it that single principals see.
    parts: Mutex<Vec<Part>>,
    /// It, with the intents of single principals.
    wider: Mutex<Vec<Wider>>,
}

/// Intents, and all that is known with them.
type Wider = (Arc<ServerListing>, Arc<Snapshot>);

/// Principals with intents of which a snapshot remembers what they see.
const WIDER_MAX: usize = 256;

/// The names of some upstreams, and what is known of these.
type Part = (Scope, Arc<Snapshot>);

/// What a snapshot is built from.
struct Ground<'a> {
    names: &'a [String],
    settings: Arc<Config>,
    usage: Arc<Usage>,
    listings: Arc<Vec<ServerListing>>,
    observed: &'a Observations,
}

impl Snapshot {
    fn build(ground: Ground<'_>) -> Self {
        let Ground { names, settings, usage, listings, observed } = ground;
        let catalog = Catalog::exposed(named(names, &listings), observed, &settings.exposure);
        let index = Index::build(catalog.tools().map(ToolRef::doc));
        Self::of(catalog, index, settings, usage, listings)
    }

    fn of(
        catalog: Catalog,
        index: Index,
        settings: Arc<Config>,
        usage: Arc<Usage>,
        listings: Arc<Vec<ServerListing>>,
    ) -> Self {
        let (lineups, parts, wider) = (Default::default(), Mutex::default(), Mutex::default());
        Self { catalog, index, settings, usage, listings, lineups, parts, wider }
    }

    /// The next snapshot, which keeps of this one what has not changed.
    fn rebuild(&self, ground: Ground<'_>) -> Self {
        let Ground { names, settings, usage, listings, observed } = ground;
        let catalog = self.catalog.rebuild(named(names, &listings), observed, &settings.exposure);
        if !catalog.lists_as(&self.catalog) {
            let index = Index::build(catalog.tools().map(ToolRef::doc));
            return Self::of(catalog, index, settings, usage, listings);
        }
        let same = Arc::ptr_eq(&settings, &self.settings);
        let mut next = Self::of(catalog, self.index.clone(), settings, usage, listings);
        if same {
            next.lineups.clone_from(&self.lineups);
        }
        next
    }

    /// What an agent sees in a mode.
    pub(crate) fn lineup(&self, mode: Mode) -> &Arc<Lineup> {
        let [code, hybrid, mcp] = &self.lineups;
        let place = match mode {
            Mode::Code => code,
            Mode::Hybrid => hybrid,
            Mode::Mcp => mcp,
        };
        place.get_or_init(|| {
            Arc::new(Lineup::build(&self.catalog, &self.settings, &self.usage, mode))
        })
    }

    /// It, with a principal's intents.
    pub(crate) fn with(&self, intents: &Arc<ServerListing>) -> Arc<Self> {
        let mut wider = self.wider.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = wider.iter().find(|(known, _)| Arc::ptr_eq(known, intents)) {
            return Arc::clone(known);
        }
        let catalog = self.catalog.with((**intents).clone());
        let index = Index::build(catalog.tools().map(ToolRef::doc));
        let (settings, usage) = (Arc::clone(&self.settings), Arc::clone(&self.usage));
        let all = Arc::new(Self::of(catalog, index, settings, usage, Arc::clone(&self.listings)));
        if wider.len() >= WIDER_MAX {
            wider.remove(0);
        }
        wider.push((Arc::clone(intents), Arc::clone(&all)));
        all
    }

    /// The part of it that these upstreams are.
    pub(crate) fn confined(&self, names: &Scope) -> Arc<Self> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, part)) = parts.iter().find(|(known, _)| known == names) {
            return Arc::clone(part);
        }
        let catalog = self.catalog.confined(names);
        let index = Index::build(catalog.tools().map(ToolRef::doc));
        let (settings, usage) = (Arc::clone(&self.settings), Arc::clone(&self.usage));
        let part = Self::of(catalog, index, settings, usage, Arc::clone(&self.listings));
        let part = Arc::new(part);
        parts.push((Arc::clone(names), Arc::clone(&part)));
        part
    }
}

/// Every configured upstream has its place and its name, also while its tools are not known.
fn named(names: &[String], listings: &[ServerListing]) -> Vec<ServerListing> {
    let of = |name: &String| {
        let known = listings.iter().find(|l| l.server == *name).cloned();
        known.unwrap_or_else(|| ServerListing { server: name.clone(), ..ServerListing::default() })
    };
    names.iter().map(of).collect()
}

/// The shape of one result of a tool without an output schema.
pub(crate) struct Lesson {
    pub(crate) server: String,
    pub(crate) tool: String,
    pub(crate) shape: narrows_catalog::Shape,
}

/// Owner of the snapshot: hears of new listings and lessons, publishes a new snapshot.
pub(crate) struct Librarian {
    fleet: Fleet,
    store: Store,
    observed: Observations,
    usage: Arc<Usage>,
    settings: watch::Receiver<Arc<Config>>,
    listings: watch::Receiver<Arc<Vec<ServerListing>>>,
    lessons: mpsc::Receiver<Lesson>,
    renewals: mpsc::Receiver<oneshot::Sender<()>>,
    publish: watch::Sender<Arc<Snapshot>>,
}

/// What the rest of the engine holds of the librarian.
#[derive(Clone)]
pub(crate) struct Library {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    settings: watch::Receiver<Arc<Config>>,
    listings: watch::Receiver<Arc<Vec<ServerListing>>>,
    pub(crate) lessons: mpsc::Sender<Lesson>,
    renewals: mpsc::Sender<oneshot::Sender<()>>,
}

impl Library {
    /// What is listed now.
    pub(crate) fn listed(&self) -> Arc<Vec<ServerListing>> {
        Arc::clone(&self.listings.borrow())
    }

    /// The last snapshot, without waiting for a newer one.
    pub(crate) fn last(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// The snapshot of every listing that exists now.
    pub(crate) async fn current(&self) -> Arc<Snapshot> {
        let snapshot = self.last();
        if Arc::ptr_eq(&snapshot.listings, &self.listings.borrow())
            && Arc::ptr_eq(&snapshot.settings, &self.settings.borrow())
        {
            return snapshot;
        }
        let (done, wait) = oneshot::channel();
        if self.renewals.send(done).await.is_ok() {
            // An error means that the librarian stopped: the last snapshot stays.
            let _stopped = wait.await;
        }
        self.last()
    }
}

/// Every configured upstream that is not switched off.
fn names(fleet: &Fleet) -> Vec<String> {
    let on = fleet.status().into_iter().filter(|s| s.state != ServerState::Disabled);
    on.map(|s| s.server).collect()
}

/// Builds the first snapshot from what is cached and observed.
pub(crate) async fn open(
    fleet: &Fleet,
    store: &Store,
    mut settings: watch::Receiver<Arc<Config>>,
) -> (Library, Librarian) {
    let observed = load_observed(store).await;
    let usage = Arc::new(load_usage(store).await);
    let mut listings = fleet.listings();
    let published = fleet.listings();
    let snapshot = Snapshot::build(Ground {
        names: &names(fleet),
        settings: Arc::clone(&settings.borrow_and_update()),
        usage: Arc::clone(&usage),
        listings: Arc::clone(&listings.borrow_and_update()),
        observed: &observed,
    });
    let (publish, snapshots) = watch::channel(Arc::new(snapshot));
    let (lessons_in, lessons) = mpsc::channel(LESSONS_MAX);
    let (renewals_in, renewals) = mpsc::channel(RENEWALS_MAX);
    let library = Library {
        snapshots,
        settings: settings.clone(),
        listings: published,
        lessons: lessons_in,
        renewals: renewals_in,
    };
    let (fleet, store) = (fleet.clone(), store.clone());
    let librarian =
        Librarian { fleet, store, observed, usage, settings, listings, lessons, renewals, publish };
    (library, librarian)
}

async fn load_observed(store: &Store) -> Observations {
    let mut observed = Observations::default();
    match store.all_observed().await {
        Ok(rows) => {
            for (server, tool, json) in rows {
                match serde_json::from_str(&json) {
                    Ok(shape) => observed.insert(server, tool, shape),
                    Err(e) => tracing::warn!(server, tool, "stored shape is unreadable: {e}"),
                }
            }
        }
        Err(e) => tracing::warn!("observed shapes are not available: {e}"),
    }
    observed
}

async fn load_usage(store: &Store) -> Usage {
    match store.usage().await {
        Ok(rows) => rows.into_iter().map(|(s, t, calls)| ((s, t), calls)).collect(),
        Err(e) => {
            tracing::warn!("it is not known which tools are used most: {e}");
            Usage::default()
        }
    }
}

impl Librarian {
    /// Runs until it is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        // When what was learned is published: lessons come in bursts, a snapshot costs milliseconds.
        let mut due: Option<Instant> = None;
        loop {
            let pause = due.unwrap_or_else(|| Instant::now() + LESSON_PAUSE);
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.listings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.publish();
                    due = None;
                }
                changed = self.settings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.publish();
                    due = None;
                }
                waiter = self.renewals.recv() => {
                    let Some(waiter) = waiter else { return };
                    if self.listings.has_changed().unwrap_or(false)
                        || self.settings.has_changed().unwrap_or(false)
                    {
                        self.publish();
                        due = None;
                    }
                    // A requester that went away needs no answer.
                    let _gone = waiter.send(());
                }
                lesson = self.lessons.recv() => {
                    let Some(lesson) = lesson else { return };
                    if self.take(lesson).await && due.is_none() {
                        due = Some(Instant::now() + LESSON_PAUSE);
                    }
                }
                () = tokio::time::sleep_until(pause), if due.is_some() => {
                    self.publish();
                    due = None;
                }
            }
        }
    }

    async fn take(&mut self, lesson: Lesson) -> bool {
        let Lesson { server, tool, shape } = lesson;
        let Some(merged) = self.observed.merge(&server, &tool, shape) else { return false };
        match serde_json::to_string(merged) {
            Ok(json) => {
                if let Err(e) = self.store.put_observed(&server, &tool, &json).await {
                    tracing::warn!(server, tool, "observed shape was not stored: {e}");
                }
            }
            Err(e) => tracing::warn!(server, tool, "observed shape was not encoded: {e}"),
        }
        true
    }

    fn publish(&mut self) {
        let before = Arc::clone(&self.publish.borrow());
        let snapshot = before.rebuild(Ground {
            names: &names(&self.fleet),
            settings: Arc::clone(&self.settings.borrow_and_update()),
            usage: Arc::clone(&self.usage),
            listings: Arc::clone(&self.listings.borrow_and_update()),
            observed: &self.observed,
        });
        self.publish.send_replace(Arc::new(snapshot));
    }
}
