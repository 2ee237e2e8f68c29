//! How often each tool was called: the weight of its record.

use crate::Store;
use crate::artifact::name_fits;
use crate::backend::{Change, Key, Range, Space};
use crate::error::StoreError;

/// Tools that are counted; beyond it those go that were used longest ago.
pub(crate) const TOOLS_MAX: usize = 20_000;

impl Store {
    /// Adds calls to the counts of tools: server, tool, calls. A name that is too long to be kept
    /// costs its own count only.
    pub async fn add_usage(&self, calls: &[(String, String, u64)]) -> Result<(), StoreError> {
        let stamp_ms = self.now_ms();
        let mut changes = Vec::with_capacity(calls.len());
        for (server, tool, calls) in calls {
            let fits = name_fits("the server's name", server)
                .and_then(|()| name_fits("the tool's name", tool));
            if let Err(error) = fits {
                tracing::warn!("calls of a tool are not counted: {error}");
                continue;
            }
            let key = Key { space: Space::Usage, owner: server.clone(), id: tool.clone() };
            changes.push(Change::Add { key, weight: *calls, stamp_ms });
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.backend().write(changes).await?;
        self.keep_newest(Space::Usage, TOOLS_MAX as u64).await?;
        Ok(())
    }

    /// The calls of every tool that was ever called: server, tool, calls.
    pub async fn usage(&self) -> Result<Vec<(String, String, u64)>, StoreError> {
        let range = every(Space::Usage, TOOLS_MAX, false);
        let records = self.backend().list(&range, self.now_ms()).await?;
        let row = |r: crate::backend::Record| (r.key.owner, r.key.id, r.weight);
        let mut rows: Vec<_> = records.into_iter().map(row).collect();
        rows.sort_unstable();
        Ok(rows)
    }
}

/// All of a space, the newest first.
pub(crate) fn every(space: Space, limit: usize, bodies: bool) -> Range {
    Range { space, owner: None, oldest_first: false, after: None, limit, bodies }
}
