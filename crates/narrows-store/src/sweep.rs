//! Forgetting: what has expired, and what is too much.

use crate::error::StoreError;
use crate::{Store, signed, unsigned};
use sqlx::SqliteConnection;

/// Free pages that one sweep gives back to the file system at most, so that it stays short.
const VACUUM: &str = "PRAGMA incremental_vacuum(4096)";

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Artifacts that had expired.
    pub expired: u64,
    /// Artifacts that went for the total limit, oldest first.
    pub evicted: u64,
    /// Records of runs beyond the number that is kept.
    pub runs: u64,
}

impl Store {
    /// Removes what has expired at `now` (Unix seconds) and the oldest of what is too much, and
    /// gives some of the free space back. The owner of the process calls it now and then.
    pub async fn sweep(&self, now: u64) -> Result<Swept, StoreError> {
        self.within("sweep", self.sweep_all(now)).await
    }

    async fn sweep_all(&self, now: u64) -> Result<Swept, sqlx::Error> {
        let config = &self.inner.config;
        let mut tx = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
        let expired = sqlx::query("DELETE FROM artifact WHERE expires_at <= ?")
            .bind(signed(now))
            .execute(&mut *tx)
            .await?
            .rows_affected();
        let evicted = evict(&mut tx, config.artifacts_total_bytes_max).await?;
        let runs = sqlx::query(
            "DELETE FROM run WHERE number <= (SELECT coalesce(max(number), 0) FROM run) - ?",
        )
        .bind(signed(config.runs_max))
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        sqlx::raw_sql(VACUUM).execute(&self.inner.writer).await?;
        Ok(Swept { expired, evicted, runs })
    }
}

/// Removes the oldest artifacts until all together are at most `room` bytes.
pub(crate) async fn evict(
    connection: &mut SqliteConnection,
    room: u64,
) -> Result<u64, sqlx::Error> {
    let total: i64 =
        sqlx::query_scalar("SELECT bytes FROM artifact_total").fetch_one(&mut *connection).await?;
    let excess = unsigned(total).saturating_sub(room);
    if excess == 0 {
        return Ok(0);
    }
    // A row goes if those before it do not free enough yet.
    let removed = sqlx::query(
        "DELETE FROM artifact WHERE id IN (SELECT id FROM (\
             SELECT id, sum(bytes) OVER (ORDER BY created_at, id) - bytes AS before FROM artifact\
         ) WHERE before < ?)",
    )
    .bind(signed(excess))
    .execute(connection)
    .await?;
    Ok(removed.rows_affected())
}
