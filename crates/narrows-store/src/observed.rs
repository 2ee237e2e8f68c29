//! Shapes of results that were seen.

use crate::Store;
use crate::artifact::name_fits;
use crate::backend::{Change, Expect, Key, Record, Space};
use crate::error::StoreError;
use crate::usage::every;

/// Bytes of one shape as JSON.
const SHAPE_BYTES_MAX: usize = 256 << 10;
/// Shapes that are kept; beyond it those go that were updated longest ago.
const SHAPES_MAX: usize = 20_000;

impl Store {
    /// Keeps the shape of a tool's results, in place of an earlier one.
    pub async fn put_observed(
        &self,
        server: &str,
        tool: &str,
        json: &str,
    ) -> Result<(), StoreError> {
        name_fits("the server's name", server)?;
        name_fits("the tool's name", tool)?;
        if json.len() > SHAPE_BYTES_MAX {
            return Err(StoreError::TooLarge {
                what: "the observed shape",
                bytes: json.len() as u64,
                limit: "shape_bytes_max",
                allowed: SHAPE_BYTES_MAX as u64,
            });
        }
        let record = Record {
            key: key(server, tool),
            body: json.as_bytes().to_vec(),
            weight: json.len() as u64,
            version: 0,
            stamp_ms: self.now_ms(),
            expires_ms: None,
        };
        self.backend().write(vec![Change::Put { record, expect: Expect::Any }]).await?;
        self.keep_newest(Space::Observed, SHAPES_MAX as u64).await?;
        Ok(())
    }

    /// The shape of one tool's results as JSON, if any was seen.
    pub async fn observed(&self, server: &str, tool: &str) -> Result<Option<String>, StoreError> {
        let found = self.backend().get(&key(server, tool), self.now_ms()).await?;
        Ok(found.map(|record| text(&record.body)))
    }

    /// Every shape: server, tool, JSON; ordered by name.
    pub async fn all_observed(&self) -> Result<Vec<(String, String, String)>, StoreError> {
        let range = every(Space::Observed, SHAPES_MAX, true);
        let records = self.backend().list(&range, self.now_ms()).await?;
        let row = |r: Record| (r.key.owner, r.key.id, text(&r.body));
        let mut rows: Vec<_> = records.into_iter().map(row).collect();
        rows.sort_unstable();
        Ok(rows)
    }
}

fn key(server: &str, tool: &str) -> Key {
    Key { space: Space::Observed, owner: server.to_owned(), id: tool.to_owned() }
}

/// A text as it was stored.
pub(crate) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
