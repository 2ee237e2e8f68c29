//! Taking over another config while calls are under way.

use super::{Fleet, cell, check_names};
use crate::board::Cell;
use crate::config::{Config, Launch, ServerConfig};
use crate::error::UpstreamError;
use crate::keeper::{Keeper, Means, Want};
use crate::spawn::Nursery;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long calls of an upstream that was changed or taken out may take to end.
const DRAIN_WAIT: Duration = Duration::from_mins(1);

/// What a reload did, by names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Upstreams that go on as they were.
    pub kept: Vec<String>,
    /// Those with another config: started anew when they are needed.
    pub changed: Vec<String>,
    /// New ones.
    pub added: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
}

impl Fleet {
    /// Takes over the upstreams of another config, without a call that fails for it: whatever did
    /// not change goes on, the rest ends once its calls are done. Limits of the whole fleet stay as
    /// they were.
    ///
    /// Fails on a config that cannot be served; then nothing changed.
    pub fn reload(&self, config: Config) -> Result<Reloaded, UpstreamError> {
        check_names(&config.servers)?;
        let inner = &self.inner;
        // One reload at a time; whoever comes second sees what the first one made.
        let mut means = inner.means.lock().unwrap_or_else(PoisonError::into_inner);
        let old = inner.board.cells();
        let mut told = Reloaded::default();
        let (mut cells, mut fresh) = (Vec::with_capacity(config.servers.len()), Vec::new());
        for server in config.servers {
            let before = old.iter().find(|cell| cell.name() == server.name);
            if let Some(same) = before.filter(|cell| cell.config == server) {
                told.kept.push(server.name);
                cells.push(Arc::clone(same));
                continue;
            }
            let list = if before.is_some() { &mut told.changed } else { &mut told.added };
            list.push(server.name.clone());
            nurse(&mut means, &server)?;
            let (cell, wants) = cell(server, inner.board.sender(), inner.stop.child_token())?;
            if wants.is_some() {
                inherit(&cell, before.map(AsRef::as_ref), &means);
            }
            let cell = Arc::new(cell);
            cells.push(Arc::clone(&cell));
            fresh.extend(wants.map(|wants| (cell, wants)));
        }
        for (cell, wants) in fresh {
            let (board, stop) = (Arc::clone(&inner.board), cell.stop.clone());
            let heard = (!cell.news.wished().is_empty()).then(|| cell.wants.clone()).flatten();
            inner.tasks.spawn(Keeper::new(board, cell, wants, means.clone(), stop).run());
            // One that somebody subscribed at is needed without a call.
            let (reply, _nobody) = oneshot::channel();
            let _full = heard.map(|wants| wants.try_send(Want::Connection(reply)));
        }
        let gone = |cell: &&Arc<Cell>| !cells.iter().any(|kept| Arc::ptr_eq(kept, cell));
        let leaving: Vec<_> = old.iter().filter(gone).map(Arc::clone).collect();
        let is_named = |name: &str| cells.iter().any(|cell| cell.name() == name);
        let removed = leaving.iter().filter(|cell| !is_named(cell.name()));
        told.removed = removed.map(|cell| cell.name().to_owned()).collect();
        inner.board.replace(cells);
        for cell in leaving {
            // From here on whoever looks it up finds its successor.
            cell.gate.close();
            inner.tasks.spawn(drain(cell));
        }
        Ok(told)
    }
}

/// Children need somebody to start them.
fn nurse(means: &mut Means, server: &ServerConfig) -> Result<(), UpstreamError> {
    let is_child = server.enabled && matches!(server.launch, Launch::Stdio { .. });
    if is_child && means.nursery.is_none() {
        let nursery = Nursery::new();
        let nursery = nursery.map_err(|e| UpstreamError::Config { reason: e.to_string() })?;
        means.nursery = Some(nursery);
    }
    Ok(())
}

/// What is known of an upstream whose launch is the same holds for its successor.
fn inherit(cell: &Cell, before: Option<&Cell>, means: &Means) {
    let same = before.filter(|before| before.config.launch == cell.config.launch);
    let known = same.and_then(Cell::offer).map(|offer| crate::listing::Offer::clone(&offer));
    if let Some(before) = before {
        // Whoever subscribed does not hear of a reload.
        *cell.news.wished() = before.news.wished().clone();
    }
    let load = || means.cache.as_ref().and_then(|cache| cache.load(&cell.config.launch));
    if let Some(offer) = known.or_else(load) {
        cell.set_offer(offer);
    }
}

/// Ends an upstream once its calls are done.
async fn drain(cell: Arc<Cell>) {
    if tokio::time::timeout(DRAIN_WAIT, cell.gate.emptied()).await.is_err() {
        let seconds = DRAIN_WAIT.as_secs();
        tracing::warn!(server = cell.name(), "calls were still under way after {seconds} s");
    }
    cell.stop.cancel();
}
