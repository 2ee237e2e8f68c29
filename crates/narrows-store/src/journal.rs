//! Runs and their journals: a row for each run, and beside it the log of its effects.
//!
//! What an entry says is the engine's; here it is bytes with a number. Appending says which number
//! comes next: of two who execute the same run, one hears that it is no longer its own.

use crate::Store;
use crate::artifact::name_fits;
use crate::backend::{Change, Expect, Key, Range, Record, Space};
use crate::error::StoreError;
use narrows_types::{Asked, Budget, Durability, JobId, Language, RunId, RunState, SessionId};
use serde::{Deserialize, Serialize};

/// Rows in one list.
const LIST_MAX: usize = 1_000;

/// What is kept of one run beside its journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRow {
    /// Which run.
    pub run: RunId,
    /// Who asked for it.
    pub principal: String,
    /// Where it is.
    pub state: RunState,
    /// The program's language.
    pub language: Language,
    /// Unix milliseconds when it began.
    pub started_at_ms: u64,
    /// Microseconds that it was under way, over all executions.
    pub wall_us: u64,
    /// Microseconds of processor time in its workers.
    pub cpu_us: u64,
    /// Tool calls that were answered.
    pub calls: u32,
    /// How often it was begun or resumed.
    pub executions: u32,
    /// How surely its journal is kept.
    #[serde(default)]
    pub durability: Durability,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Asked>,
    /// What it has used of its session's budget.
    #[serde(default)]
    pub used: Budget,
}

/// A run's row with its version.
#[derive(Debug, Clone)]
pub struct RunFound {
    /// The row.
    pub row: RunRow,
    /// The version that a change must name.
    pub version: u64,
}

/// Something to write down of a run. All of it is written, or nothing.
#[derive(Debug, Clone)]
pub struct Note {
    /// Who asked for the run.
    pub principal: String,
    /// Which run.
    pub run: RunId,
    /// The number of the first entry.
    pub from: u64,
    /// Entries to append.
    pub entries: Vec<Vec<u8>>,
    /// The run's row, if it changes; with the version that it must have, if that matters.
    pub row: Option<(RunRow, Option<u64>)>,
}

impl Store {
    /// Writes notes of several runs at once. Gives for each whether it was written: `false` if the
    /// journal went on without it or the row is another.
    pub async fn note(&self, notes: &[Note]) -> Result<Vec<bool>, StoreError> {
        let mut all = Vec::new();
        for note in notes {
            self.changes(note, &mut all)?;
        }
        if all.is_empty() || self.backend().write(all).await? {
            return Ok(vec![true; notes.len()]);
        }
        if let [_] = notes {
            return Ok(vec![false]);
        }
        // One does not fit: each for itself.
        let mut written = Vec::with_capacity(notes.len());
        for note in notes {
            let mut own = Vec::new();
            self.changes(note, &mut own)?;
            written.push(self.backend().write(own).await?);
        }
        Ok(written)
    }

    fn changes(&self, note: &Note, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        name_fits("the owner's name", &note.principal)?;
        let key = key(&note.principal, &note.run);
        if !note.entries.is_empty() {
            let entries = note.entries.clone();
            changes.push(Change::Append { key: key.clone(), from: note.from, entries });
        }
        if let Some((row, version)) = &note.row {
            let body = serde_json::to_vec(row)
                .map_err(|e| StoreError::Unreadable { what: "a run's row", why: e.to_string() })?;
            let ttl_ms = self.config().run_ttl_s.saturating_mul(1_000);
            let record = Record {
                key,
                weight: body.len() as u64,
                body,
                version: 0,
                stamp_ms: row.started_at_ms,
                expires_ms: Some(self.now_ms().saturating_add(ttl_ms)),
            };
            let expect = version.map_or(Expect::Any, Expect::Version);
            changes.push(Change::Put { record, expect });
        }
        Ok(())
    }

    /// Entries of a run's journal from number `from`, at most `count`.
    pub async fn journal(
        &self,
        principal: &str,
        run: &RunId,
        from: u64,
        count: u64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.backend().read(&key(principal, run), from, count).await
    }

    /// Forgets a run with its journal.
    pub async fn forget_run(&self, principal: &str, run: &RunId) -> Result<(), StoreError> {
        self.backend().write(vec![Change::Delete { key: key(principal, run) }]).await.map(drop)
    }

    /// One run of this principal's.
    pub async fn run(&self, principal: &str, run: &RunId) -> Result<RunFound, StoreError> {
        let found = self.backend().get(&key(principal, run), self.now_ms()).await?;
        let record = found.ok_or_else(|| StoreError::NoSuch {
            what: "run",
            id: narrows_types::fault::clip(run.as_str().to_owned(), 64),
        })?;
        Ok(RunFound { row: row(&record)?, version: record.version })
    }

    /// This principal's runs, or everybody's, newest first, at most `limit` and at most 1,000.
    pub async fn run_rows(
        &self,
        principal: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RunRow>, StoreError> {
        let range = Range {
            space: Space::Run,
            owner: principal.map(ToOwned::to_owned),
            oldest_first: false,
            after: None,
            limit: limit.min(LIST_MAX),
            bodies: true,
        };
        let records = self.backend().list(&range, self.now_ms()).await?;
        // What an older Narrows wrote in another form is left out of a list.
        Ok(records.iter().filter_map(|record| row(record).ok()).collect())
    }
}

fn row(record: &Record) -> Result<RunRow, StoreError> {
    serde_json::from_slice(&record.body)
        .map_err(|e| StoreError::Unreadable { what: "a run's row", why: e.to_string() })
}

fn key(principal: &str, run: &RunId) -> Key {
    Key { space: Space::Run, owner: principal.to_owned(), id: run.as_str().to_owned() }
}
