//! One record for each run, written behind the answer.

use crate::admit::Grant;
use narrows_store::{RunRecord, Store};
use narrows_types::{Language, RunEnd, RunReport};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Records that wait to be written; beyond it they are dropped and counted in the log.
const WAITING_MAX: usize = 4_096;
/// Records written in one transaction.
const BATCH_MAX: usize = 256;
/// Records are gathered so long before they are written: a transaction costs more than a record.
const GATHER: Duration = Duration::from_millis(25);

/// Takes records without waiting.
pub(crate) struct Auditor {
    records: mpsc::Sender<RunRecord>,
}

/// Writes records in batches.
pub(crate) struct Clerk {
    store: Store,
    records: mpsc::Receiver<RunRecord>,
}

pub(crate) fn open(store: &Store) -> (Auditor, Clerk) {
    let (sender, records) = mpsc::channel(WAITING_MAX);
    (Auditor { records: sender }, Clerk { store: store.clone(), records })
}

impl Auditor {
    pub(crate) fn record(
        &self,
        grant: &Grant,
        language: Language,
        started_at: u64,
        report: &RunReport,
    ) {
        let record = RunRecord {
            id: report.run.clone(),
            principal: grant.principal.name.clone(),
            language,
            started_at_ms: started_at,
            wall_us: report.usage.wall_us,
            cpu_us: report.usage.cpu_us,
            end: end_name(&report.end).to_owned(),
            calls: serde_json::to_string(&report.calls).unwrap_or_default(),
        };
        if self.records.try_send(record).is_err() {
            tracing::warn!(run = %report.run, "the audit queue is full: this run is not recorded");
        }
    }
}

impl Clerk {
    /// Writes until it is cancelled, then what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.records.close();
                    while self.records.recv_many(&mut batch, BATCH_MAX).await > 0 {
                        self.write(&mut batch).await;
                    }
                    return;
                }
                taken = self.records.recv_many(&mut batch, BATCH_MAX) => {
                    if taken == 0 {
                        return;
                    }
                    self.gather(&mut batch, &stop).await;
                    self.write(&mut batch).await;
                }
            }
        }
    }

    /// Takes along what comes shortly after a first record.
    async fn gather(&mut self, batch: &mut Vec<RunRecord>, stop: &CancellationToken) {
        // Cut short by the end, which writes what is left.
        let _stopped = tokio::time::timeout(GATHER, stop.cancelled()).await;
        while batch.len() < BATCH_MAX {
            let Ok(record) = self.records.try_recv() else { return };
            batch.push(record);
        }
    }

    async fn write(&self, batch: &mut Vec<RunRecord>) {
        if let Err(e) = self.store.put_runs(batch).await {
            tracing::warn!("{} runs were not recorded: {e}", batch.len());
        }
        batch.clear();
    }
}

fn end_name(end: &RunEnd) -> &'static str {
    match end {
        RunEnd::Returned(_) => "returned",
        RunEnd::Threw(_) => "threw",
        RunEnd::Rejected { .. } => "rejected",
        RunEnd::Limit { .. } => "limit",
        RunEnd::Deadlock => "deadlock",
        RunEnd::Lost { .. } => "lost",
    }
}
