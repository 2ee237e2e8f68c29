//! Shapes of results that were seen.

use crate::artifact::name_fits;
use crate::error::StoreError;
use crate::{Store, signed};

/// Bytes of one shape as JSON.
const SHAPE_BYTES_MAX: usize = 256 << 10;
/// Shapes that are kept; beyond it those go that were updated longest ago.
const SHAPES_MAX: i64 = 20_000;

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
        self.within("keep an observed shape", self.upsert_observed(server, tool, json)).await
    }

    async fn upsert_observed(
        &self,
        server: &str,
        tool: &str,
        json: &str,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "INSERT INTO observed (server, tool, shape, seen_at) VALUES (?, ?, ?, ?) \
             ON CONFLICT (server, tool) DO UPDATE SET shape = excluded.shape, \
             seen_at = excluded.seen_at",
        )
        .bind(server)
        .bind(tool)
        .bind(json)
        .bind(signed(self.now()))
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM observed WHERE (server, tool) IN (SELECT server, tool FROM observed \
             ORDER BY seen_at DESC LIMIT -1 OFFSET ?)",
        )
        .bind(SHAPES_MAX)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// The shape of one tool's results as JSON, if any was seen.
    pub async fn observed(&self, server: &str, tool: &str) -> Result<Option<String>, StoreError> {
        let work = sqlx::query_scalar("SELECT shape FROM observed WHERE server = ? AND tool = ?")
            .bind(server)
            .bind(tool)
            .fetch_optional(&self.inner.reader);
        self.within("read an observed shape", work).await
    }

    /// Every shape: server, tool, JSON; ordered by name.
    pub async fn all_observed(&self) -> Result<Vec<(String, String, String)>, StoreError> {
        let work = sqlx::query_as("SELECT server, tool, shape FROM observed ORDER BY server, tool")
            .fetch_all(&self.inner.reader);
        self.within("read the observed shapes", work).await
    }
}
