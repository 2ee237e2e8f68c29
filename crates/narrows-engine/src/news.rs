//! What upstreams tell beside answers: what they can do, what changed, what was updated.

use crate::Engine;
use narrows_types::{Changes, ClientSession, Mode, Offering, Update};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

impl Engine {
    /// How often each list changed.
    pub fn changes(&self) -> watch::Receiver<Changes> {
        self.shared.fleet.changes()
    }

    /// Resources that somebody subscribed to and that were updated.
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        self.shared.fleet.updates()
    }

    /// What each upstream can do. Those that are not known yet are waited for, at most so long.
    pub async fn offers(&self, wait: Duration) -> Vec<Offering> {
        let _snapshot = self.shared.settle(Instant::now() + wait).await;
        self.shared.fleet.offers()
    }

    /// A conversation ended: what was held for it is given back.
    pub fn farewell(&self, session: ClientSession) {
        self.shared.fleet.farewell(session);
    }

    /// A tool's definition as its upstream wrote it, by the name that a client of this mode calls
    /// it.
    pub async fn definition(&self, _mode: Mode, name: &str) -> Option<Box<RawValue>> {
        let snapshot = self.shared.library.current().await;
        let (server, tool) = name.split_once('.')?;
        let found = snapshot.catalog.resolve(server, tool).ok()?;
        found.tool.spec.definition.clone()
    }
}
