//! Who does the jobs: takes them, keeps their leases, tells how they ended.

use crate::Shared;
use crate::jobs::Told;
use futures_util::FutureExt;
use narrows_store::{Beat, Claim, JobRow, Outcome, Pulse, Settle};
use narrows_types::{Event, Fault};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often jobs are looked for, should nobody say that there are some.
const LOOK: Duration = Duration::from_secs(1);
/// How often leases are prolonged and cancellations heard.
const BEAT: Duration = Duration::from_millis(400);
/// The time between two such, should somebody say that there is something to hear.
const BEAT_MIN: Duration = Duration::from_millis(50);
/// Progress that waits to be written down.
const EVENTS: usize = 64;
/// How long to wait before the store is asked again after it failed.
const TROUBLE: Duration = Duration::from_secs(1);

/// A job in our hands.
struct Held {
    attempt: u32,
    cancel: CancellationToken,
    told: watch::Receiver<String>,
}

/// A job that is over.
struct Over {
    id: String,
    attempt: u32,
    /// None if its lease was lost: somebody else has it.
    outcome: Option<Outcome>,
}

struct Crew {
    shared: Arc<Shared>,
    name: String,
    held: HashMap<String, Held>,
    tasks: JoinSet<Over>,
}

impl Shared {
    /// Does jobs until it is told to stop; then takes no more and finishes those under way, until
    /// `drain` is over: what is left then is given back.
    pub(crate) async fn work(self: &Arc<Self>, stop: CancellationToken) -> Result<(), Fault> {
        let name = crate::effects::random_id("worker")?;
        let crew =
            Crew { shared: Arc::clone(self), name, held: HashMap::new(), tasks: JoinSet::new() };
        crew.work(stop).await;
        Ok(())
    }
}

/// Keeps the last progress of a job; it goes to the store with the next beat.
async fn note(mut heard: mpsc::Receiver<Event>, tell: watch::Sender<String>) {
    while let Some(event) = heard.recv().await {
        let Event::Progress { fraction, message } = event else { continue };
        let told = Told { fraction, message, questions: Vec::new() };
        tell.send_replace(serde_json::to_string(&told).unwrap_or_default());
    }
    std::future::pending::<()>().await;
}

impl Crew {
    async fn work(mut self, stop: CancellationToken) {
        let mut wakes = self.shared.store.job_wakes();
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut look, mut beaten) = (Instant::now(), Instant::now());
        let mut drained: Option<Instant> = None;
        loop {
            let stopping = drained.is_some();
            if stopping && self.held.is_empty() {
                return;
            }
            let drain = drained.unwrap_or(look);
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    drained = Some(Instant::now() + self.shared.settings.borrow().jobs.drain);
                }
                () = tokio::time::sleep_until(drain), if stopping => {
                    self.give_back().await;
                    return;
                }
                Some(over) = self.tasks.join_next() => {
                    let mut all = vec![over];
                    while let Some(more) = self.tasks.try_join_next() {
                        all.push(more);
                    }
                    self.settle(all).await;
                    look = Instant::now();
                }
                _ = beat.tick(), if !self.held.is_empty() => {
                    self.beat().await;
                    beaten = Instant::now();
                }
                changed = wakes.changed(), if !stopping => {
                    if changed.is_err() {
                        return;
                    }
                    // It may be a cancellation, too. Where many jobs come and go, most are not.
                    beat.reset_at(Instant::now().max(beaten + BEAT_MIN));
                    look = Instant::now();
                }
                () = tokio::time::sleep_until(look), if !stopping => {
                    look = Instant::now() + self.take().await;
                }
            }
        }
    }

    /// Takes as many jobs as there are free hands. Says when to look again.
    async fn take(&mut self) -> Duration {
        let config = self.shared.settings.borrow().jobs;
        let free = config.parallel.saturating_sub(self.held.len());
        if free == 0 {
            return LOOK;
        }
        let claim = Claim {
            worker: self.name.clone(),
            count: u32::try_from(free).unwrap_or(u32::MAX),
            lease_ms: u64::try_from(config.lease.as_millis()).unwrap_or(u64::MAX),
            tenant_running_max: config.tenant_parallel,
        };
        match self.shared.store.claim(&claim).await {
            Ok(rows) => {
                for row in rows {
                    self.start(row);
                }
                LOOK
            }
            Err(e) => {
                tracing::warn!("no jobs could be taken: {e}");
                TROUBLE
            }
        }
    }

    fn start(&mut self, row: JobRow) {
        let cancel = CancellationToken::new();
        let (tell, told) = watch::channel(String::new());
        let (id, attempt) = (row.id.clone(), row.attempt);
        self.held.insert(id.clone(), Held { attempt, cancel: cancel.clone(), told });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let (events, heard) = mpsc::channel(EVENTS);
            let work = AssertUnwindSafe(Box::pin(shared.attempt(&row, Some(events))));
            let work = work.catch_unwind().map(|done| {
                done.unwrap_or_else(|_panic| {
                    tracing::error!(job = row.id, "the job made narrows panic");
                    let error = "narrows failed on this job; see the log".to_owned();
                    Outcome::Failed { error, retry_ms: Some(1_000) }
                })
            });
            let outcome = tokio::select! {
                outcome = work => Some(outcome),
                () = cancel.cancelled() => None,
                () = note(heard, tell) => None,
            };
            Over { id, attempt, outcome }
        });
    }

    /// Prolongs the leases, tells of progress, hears of cancellations.
    async fn beat(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let lease = self.shared.settings.borrow().jobs.lease;
        let mut beats = Vec::with_capacity(self.held.len());
        for (id, held) in &mut self.held {
            let new = held.told.has_changed().unwrap_or(false);
            let progress = new.then(|| held.told.borrow_and_update().clone());
            beats.push(Beat { id: id.clone(), attempt: held.attempt, progress });
        }
        let ids: Vec<String> = beats.iter().map(|beat| beat.id.clone()).collect();
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let pulses = match self.shared.store.beat(beats, lease_ms).await {
            Ok(pulses) => pulses,
            Err(e) => {
                tracing::warn!("the leases of {} jobs were not prolonged: {e}", ids.len());
                return;
            }
        };
        self.heard(ids.into_iter().zip(pulses)).await;
    }

    /// What the store says of the jobs in our hands.
    async fn heard(&self, pulses: impl Iterator<Item = (String, Pulse)>) {
        let mut cancelled = Vec::new();
        for (id, pulse) in pulses {
            let Some(held) = self.held.get(&id) else { continue };
            match pulse {
                Pulse::Held => {}
                Pulse::Cancel => {
                    held.cancel.cancel();
                    self.shared.run_cancelled(&id).await;
                    let attempt = held.attempt;
                    cancelled.push(Settle { id, attempt, outcome: Outcome::Cancelled });
                }
                Pulse::Lost => {
                    tracing::warn!(job = id, "its lease was lost: somebody else has it");
                    held.cancel.cancel();
                }
            }
        }
        if !cancelled.is_empty()
            && let Err(e) = self.shared.store.settle(cancelled).await
        {
            tracing::warn!("a cancelled job was not written down: {e}");
        }
    }

    async fn settle(&mut self, all: Vec<Result<Over, tokio::task::JoinError>>) {
        let mut ends = Vec::new();
        for over in all {
            let over = match over {
                Ok(over) => over,
                Err(e) => {
                    tracing::error!("a job's task failed: {e}");
                    continue;
                }
            };
            self.held.remove(&over.id);
            if let Some(outcome) = over.outcome {
                ends.push(Settle { id: over.id, attempt: over.attempt, outcome });
            }
        }
        if ends.is_empty() {
            return;
        }
        if let Err(e) = self.shared.store.settle(ends).await {
            // Its lease runs out, and its journal leads to the same end.
            tracing::warn!("how a job ended was not written down: {e}");
        }
    }

    /// The time is over: somebody else goes on with what is left.
    async fn give_back(&mut self) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        let give = |(id, held): (String, Held)| Settle {
            id,
            attempt: held.attempt,
            outcome: Outcome::Released,
        };
        let left = self.held.drain().map(give).collect();
        if let Err(e) = self.shared.store.settle(left).await {
            tracing::warn!("jobs were not given back: {e}");
        }
    }
}
