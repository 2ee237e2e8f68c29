//! Ids that the broker gave to us: kept until their jobs are over.

use crate::backend::Backend;
use crate::queue::{JobRow, JobState};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Ids held at once; beyond it the broker's one is done with, since everybody is awake anyway.
pub(super) const HELD_MAX: u16 = 256;
/// Jobs that one look asks the store for.
const LOOKS: usize = 32;
/// How long an id is held. A job that takes longer is found by asking, should its worker die.
const HOLD_MAX: Duration = Duration::from_mins(5);

/// One id, with what the broker wants back for it.
struct Item<R> {
    id: String,
    receipt: R,
    since: Instant,
}

/// The ids, those first that were not looked at for longest.
pub(super) struct Held<R> {
    items: VecDeque<Item<R>>,
}

/// What a look found.
pub(super) struct Look<R> {
    /// To be acknowledged.
    pub(super) done: Vec<R>,
    /// A job is ready that nobody has.
    pub(super) wake: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing comes any more without a new message.
    Done,
    /// Ready, and nobody has it.
    Ripe,
    /// Somebody has it, or it waits for its time.
    Keep,
}

/// What a job's state means for its id.
pub(super) fn fate(job: Option<&JobRow>, now_ms: u64) -> Fate {
    match job {
        None => Fate::Done,
        Some(job) if job.state.over() || job.state == JobState::Paused => Fate::Done,
        Some(job) if job.visible_ms <= now_ms => Fate::Ripe,
        Some(_) => Fate::Keep,
    }
}

impl<R> Held<R> {
    pub(super) fn new() -> Self {
        Self { items: VecDeque::new() }
    }

    /// Takes an id; gives what is to be acknowledged for it.
    pub(super) fn take(&mut self, id: String, receipt: R) -> Option<R> {
        self.items.push_back(Item { id, receipt, since: Instant::now() });
        let full = self.items.len() > usize::from(HELD_MAX);
        full.then(|| self.items.pop_front().map(|item| item.receipt)).flatten()
    }

    /// A job that ended here; gives what is to be acknowledged for it.
    pub(super) fn over(&mut self, id: &str) -> Vec<R> {
        let (gone, stay) =
            std::mem::take(&mut self.items).into_iter().partition(|item| item.id == id);
        self.items = stay;
        let gone: VecDeque<Item<R>> = gone;
        gone.into_iter().map(|item| item.receipt).collect()
    }

    /// What is held, the longest unseen first.
    pub(super) fn receipts(&self) -> impl Iterator<Item = &R> {
        self.items.iter().map(|item| &item.receipt)
    }

    /// Asks the store for some of them.
    pub(super) async fn look(&mut self, backend: &dyn Backend) -> Look<R> {
        let mut look = Look { done: Vec::new(), wake: false };
        if self.items.is_empty() {
            return look;
        }
        let now = match backend.now_ms().await {
            Ok(now) => now,
            Err(error) => {
                tracing::debug!("jobs of a broker's messages are not known: {error}");
                return look;
            }
        };
        for _ in 0..LOOKS.min(self.items.len()) {
            let Some(item) = self.items.pop_front() else { break };
            let fate = match backend.job(&item.id).await {
                Ok(job) => fate(job.as_ref(), now),
                Err(_unknown) => Fate::Keep,
            };
            look.wake |= fate == Fate::Ripe;
            if fate == Fate::Done || item.since.elapsed() > HOLD_MAX {
                look.done.push(item.receipt);
            } else {
                self.items.push_back(item);
            }
        }
        look
    }
}
