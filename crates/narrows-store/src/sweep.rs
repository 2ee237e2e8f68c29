//! Forgetting: what has expired, and what is too much.

use crate::error::StoreError;
use crate::{Store, signed, unsigned};
use sqlx::SqliteConnection;

/// Free pages that one sweep gives back to the file system at most, so that it stays short.
const VACUUM: &str = "PRAGMA incremental_vacuum(4096)";
/// Artifacts that one statement looks at and removes.
const BATCH: i64 = 1_000;
/// This part of the room is made free beyond what is needed, so that not every put has to evict.
const SLACK: u64 = 10;

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
        let max = config.artifacts_total_bytes_max;
        let evicted = evict_to(&mut tx, max, max).await?;
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

/// Makes sure that all artifacts together are at most `room` bytes: if they are more, the oldest go,
/// and some more than have to.
pub(crate) async fn evict(
    connection: &mut SqliteConnection,
    room: u64,
) -> Result<u64, sqlx::Error> {
    evict_to(connection, room, room - room / SLACK).await
}

/// Removes the oldest artifacts, batch by batch, if all together are more than `room` bytes, until
/// they are not; the last batch goes on down to `wanted`.
async fn evict_to(
    connection: &mut SqliteConnection,
    room: u64,
    wanted: u64,
) -> Result<u64, sqlx::Error> {
    let mut removed = 0;
    loop {
        let total: i64 = sqlx::query_scalar("SELECT bytes FROM artifact_total")
            .fetch_one(&mut *connection)
            .await?;
        if unsigned(total) <= room {
            return Ok(removed);
        }
        // A row goes if those before it do not free enough yet. Only the oldest are looked at: the
        // index gives them in this order.
        let batch = sqlx::query(
            "DELETE FROM artifact WHERE id IN (SELECT id FROM (\
                 SELECT id, sum(bytes) OVER (ORDER BY created_at, id) - bytes AS before FROM (\
                     SELECT id, created_at, bytes FROM artifact ORDER BY created_at, id LIMIT ?\
                 )\
             ) WHERE before < ?)",
        )
        .bind(BATCH)
        .bind(signed(unsigned(total).saturating_sub(wanted)))
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if batch == 0 {
            return Ok(removed);
        }
        removed += batch;
    }
}
