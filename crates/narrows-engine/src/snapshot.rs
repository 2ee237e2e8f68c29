//! The catalog's snapshot and the task that builds it anew when something changes.

use narrows_catalog::{Catalog, Observations, ToolRef, search::Index};
use narrows_store::Store;
use narrows_types::{ServerListing, ServerState};
use narrows_upstream::Fleet;
use std::sync::Arc;
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
    /// The listings that it was built from.
    listings: Arc<Vec<ServerListing>>,
}

impl Snapshot {
    fn build(names: &[String], listings: Arc<Vec<ServerListing>>, observed: &Observations) -> Self {
        let catalog = Catalog::build(named(names, &listings), observed);
        let index = Index::build(catalog.tools().map(ToolRef::doc));
        Self { catalog, index, listings }
    }

    /// The next snapshot, which keeps of this one what has not changed.
    fn rebuild(
        &self,
        names: &[String],
        listings: Arc<Vec<ServerListing>>,
        observed: &Observations,
    ) -> Self {
        let catalog = self.catalog.rebuild(named(names, &listings), observed);
        let index = if catalog.lists_as(&self.catalog) {
            self.index.clone()
        } else {
            Index::build(catalog.tools().map(ToolRef::doc))
        };
        Self { catalog, index, listings }
    }
}

/// Every configured upstream has its place and its name, also while its tools are not known.
fn named(names: &[String], listings: &[ServerListing]) -> Vec<ServerListing> {
    let of = |name: &String| {
        let known = listings.iter().find(|l| l.server == *name).cloned();
        known.unwrap_or_else(|| ServerListing {
            server: name.clone(),
            instructions: None,
            tools: Vec::new(),
        })
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
    store: Store,
    /// Every configured upstream that is not switched off.
    names: Vec<String>,
    observed: Observations,
    listings: watch::Receiver<Arc<Vec<ServerListing>>>,
    lessons: mpsc::Receiver<Lesson>,
    renewals: mpsc::Receiver<oneshot::Sender<()>>,
    publish: watch::Sender<Arc<Snapshot>>,
}

/// What the rest of the engine holds of the librarian.
#[derive(Clone)]
pub(crate) struct Library {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    listings: watch::Receiver<Arc<Vec<ServerListing>>>,
    pub(crate) lessons: mpsc::Sender<Lesson>,
    renewals: mpsc::Sender<oneshot::Sender<()>>,
}

impl Library {
    /// What is listed now.
    pub(crate) fn listed(&self) -> Arc<Vec<ServerListing>> {
        Arc::clone(&self.listings.borrow())
    }

    /// The snapshot of every listing that exists now.
    pub(crate) async fn current(&self) -> Arc<Snapshot> {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        if Arc::ptr_eq(&snapshot.listings, &self.listings.borrow()) {
            return snapshot;
        }
        let (done, wait) = oneshot::channel();
        if self.renewals.send(done).await.is_ok() {
            // An error means that the librarian stopped: the last snapshot stays.
            let _stopped = wait.await;
        }
        Arc::clone(&self.snapshots.borrow())
    }
}

/// Builds the first snapshot from what is cached and observed.
pub(crate) async fn open(fleet: &Fleet, store: &Store) -> (Library, Librarian) {
    let observed = load_observed(store).await;
    let mut listings = fleet.listings();
    let published = fleet.listings();
    let first = Arc::clone(&listings.borrow_and_update());
    let names: Vec<String> = fleet
        .status()
        .into_iter()
        .filter(|s| s.state != ServerState::Disabled)
        .map(|s| s.server)
        .collect();
    let snapshot = Snapshot::build(&names, first, &observed);
    let (publish, snapshots) = watch::channel(Arc::new(snapshot));
    let (lessons_in, lessons) = mpsc::channel(LESSONS_MAX);
    let (renewals_in, renewals) = mpsc::channel(RENEWALS_MAX);
    let store = store.clone();
    let librarian = Librarian { store, names, observed, listings, lessons, renewals, publish };
    (
        Library { snapshots, listings: published, lessons: lessons_in, renewals: renewals_in },
        librarian,
    )
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
                waiter = self.renewals.recv() => {
                    let Some(waiter) = waiter else { return };
                    if self.listings.has_changed().unwrap_or(false) {
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
        let listings = Arc::clone(&self.listings.borrow_and_update());
        let before = Arc::clone(&self.publish.borrow());
        let snapshot = before.rebuild(&self.names, listings, &self.observed);
        self.publish.send_replace(Arc::new(snapshot));
    }
}
