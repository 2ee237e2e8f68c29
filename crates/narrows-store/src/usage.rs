//! How often each tool was called.

use crate::artifact::name_fits;
use crate::error::StoreError;
use crate::{Store, signed};

/// Tools that are counted; beyond it those go that were used longest ago.
const TOOLS_MAX: i64 = 20_000;

impl Store {
    /// Adds calls to the counts of tools: server, tool, calls.
    pub async fn add_usage(&self, calls: &[(String, String, u64)]) -> Result<(), StoreError> {
        if calls.is_empty() {
            return Ok(());
        }
        for (server, tool, _) in calls {
            name_fits("the server's name", server)?;
            name_fits("the tool's name", tool)?;
        }
        self.within("count calls", self.upsert_usage(calls)).await
    }

    async fn upsert_usage(&self, calls: &[(String, String, u64)]) -> Result<(), sqlx::Error> {
        let mut tx = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
        for (server, tool, calls) in calls {
            sqlx::query(
                "INSERT INTO usage (server, tool, calls, used_at) VALUES (?, ?, ?, ?) \
                 ON CONFLICT (server, tool) DO UPDATE SET calls = calls + excluded.calls, \
                 used_at = excluded.used_at",
            )
            .bind(server)
            .bind(tool)
            .bind(signed(*calls))
            .bind(signed(self.now()))
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query(
            "DELETE FROM usage WHERE (server, tool) IN (SELECT server, tool FROM usage \
             ORDER BY used_at DESC LIMIT -1 OFFSET ?)",
        )
        .bind(TOOLS_MAX)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// The calls of every tool that was ever called: server, tool, calls.
    pub async fn usage(&self) -> Result<Vec<(String, String, u64)>, StoreError> {
        let work = sqlx::query_as::<_, (String, String, i64)>(
            "SELECT server, tool, calls FROM usage ORDER BY server, tool",
        )
        .fetch_all(&self.inner.reader);
        let rows = self.within("read the counts of calls", work).await?;
        let count = |calls: i64| u64::try_from(calls).unwrap_or(0);
        Ok(rows.into_iter().map(|(server, tool, calls)| (server, tool, count(calls))).collect())
    }
}
