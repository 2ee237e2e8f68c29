//! The record of runs: one row each.

use crate::error::StoreError;
use crate::{Store, signed, unsigned};
use narrows_types::fault::clip;
use narrows_types::{Language, RunId};
use sqlx::Row;

/// Bytes of a run's calls as JSON; a longer list is left out, its run is still recorded.
const CALLS_BYTES_MAX: usize = 1 << 20;
/// Bytes of any other text of a record.
const TEXT_BYTES_MAX: usize = 512;
/// Records in one list.
const LIST_MAX: usize = 10_000;

/// What is kept of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Which run.
    pub id: RunId,
    /// Who asked for it.
    pub principal: String,
    /// The program's language.
    pub language: Language,
    /// Unix milliseconds when it started.
    pub started_at_ms: u64,
    /// Microseconds from start to end.
    pub wall_us: u64,
    /// Microseconds of processor time in the worker.
    pub cpu_us: u64,
    /// How it ended: `returned`, `threw`, `rejected`, `limit`, `deadlock`, `lost`.
    pub end: String,
    /// Its calls as a JSON array.
    pub calls: String,
}

impl Store {
    /// Records one run.
    pub async fn put_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        self.put_runs(std::slice::from_ref(run)).await
    }

    /// Records runs in one transaction. A run that is recorded already stays as it is.
    pub async fn put_runs(&self, runs: &[RunRecord]) -> Result<(), StoreError> {
        if runs.is_empty() {
            return Ok(());
        }
        self.within("record runs", self.insert_runs(runs)).await
    }

    async fn insert_runs(&self, runs: &[RunRecord]) -> Result<(), sqlx::Error> {
        let mut tx = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
        for run in runs {
            let calls = if run.calls.len() > CALLS_BYTES_MAX { "[]" } else { run.calls.as_str() };
            sqlx::query(
                "INSERT INTO run (id, principal, language, started_at_ms, wall_us, cpu_us, \
                 ending, calls) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            )
            .bind(run.id.as_str())
            .bind(clip(run.principal.clone(), TEXT_BYTES_MAX))
            .bind(run.language.to_string())
            .bind(signed(run.started_at_ms))
            .bind(signed(run.wall_us))
            .bind(signed(run.cpu_us))
            .bind(clip(run.end.clone(), TEXT_BYTES_MAX))
            .bind(calls)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await
    }

    /// The last runs, newest first, at most `limit` and at most 10,000.
    pub async fn runs(&self, limit: usize) -> Result<Vec<RunRecord>, StoreError> {
        let query = sqlx::query(
            "SELECT id, principal, language, started_at_ms, wall_us, cpu_us, ending, calls \
             FROM run ORDER BY number DESC LIMIT ?",
        )
        .bind(signed(limit.min(LIST_MAX) as u64));
        let work = async {
            let rows = query.fetch_all(&self.inner.reader).await?;
            rows.iter().map(record).collect()
        };
        self.within("list runs", work).await
    }
}

fn record(row: &sqlx::sqlite::SqliteRow) -> Result<RunRecord, sqlx::Error> {
    let language: &str = row.try_get("language")?;
    Ok(RunRecord {
        id: RunId(row.try_get("id")?),
        principal: row.try_get("principal")?,
        language: if language == "python" { Language::Python } else { Language::TypeScript },
        started_at_ms: unsigned(row.try_get("started_at_ms")?),
        wall_us: unsigned(row.try_get("wall_us")?),
        cpu_us: unsigned(row.try_get("cpu_us")?),
        end: row.try_get("ending")?,
        calls: row.try_get("calls")?,
    })
}
