//! The back end that forgets all at its end: plain maps behind one lock that is never held while
//! anything waits. It is the store of `memory:` and of tests, so it is exact.

mod draft;
mod jobs;
mod line;
mod shelf;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Change, Key, Range, Record, Space, Total, Work};
use crate::error::StoreError;
use crate::queue::{Beat, Claim, Depth, JobFilter, JobRow, NewJob, Pulse, Settle};
use jobs::Jobs;
use shelf::Shelves;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Records that one sweep removes at most.
const SWEEP_MAX: usize = 10_000;
/// Jobs that one call forgets at most.
const FORGET_MAX: usize = 10_000;
/// Jobs that one claim hands out at most.
const CLAIM_MAX: u32 = 1_000;

/// Records, logs and jobs in this process only.
pub(crate) struct Memory {
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    state: Mutex<State>,
    wakes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    closed: bool,
    shelves: Shelves,
    jobs: Jobs,
}

impl Memory {
    /// An empty one; the clock tells Unix milliseconds.
    pub(crate) fn new(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), state: Mutex::default(), wakes: watch::Sender::new(0) }
    }

    fn now(&self) -> u64 {
        (self.clock)()
    }

    /// What panicked with the lock held had changed nothing half: the state is still good.
    fn lock(&self, what: &'static str) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.closed {
            return Ok(state);
        }
        let why = "it is closed".to_owned();
        Err(StoreError::Failed { place: "in memory".to_owned(), what, why })
    }

    /// Does the work at once; nothing in it waits.
    fn work<'a, T: Send + 'a>(
        &'a self,
        what: &'static str,
        work: impl FnOnce(&mut State) -> T + Send + 'a,
    ) -> Work<'a, T> {
        Box::pin(async move { Ok(work(&mut *self.lock(what)?)) })
    }

    /// The same, and wakes whoever listens for jobs.
    fn stir<'a, T: Send + 'a>(
        &'a self,
        what: &'static str,
        work: impl FnOnce(&mut State) -> T + Send + 'a,
    ) -> Work<'a, T> {
        Box::pin(async move {
            let value = work(&mut *self.lock(what)?);
            self.wakes.send_modify(|count| *count += 1);
            Ok(value)
        })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl Backend for Memory {
    fn now_ms(&self) -> Work<'_, u64> {
        Box::pin(async { Ok(self.now()) })
    }

    fn write(&self, changes: Vec<Change>) -> Work<'_, bool> {
        self.work("write records", |state| state.shelves.write(changes, self.now()))
    }

    fn get<'a>(&'a self, key: &'a Key, now_ms: u64) -> Work<'a, Option<Record>> {
        self.work("read a record", move |state| state.shelves.get(key, now_ms))
    }

    fn list<'a>(&'a self, range: &'a Range, now_ms: u64) -> Work<'a, Vec<Record>> {
        self.work("list records", move |state| state.shelves.list(range, now_ms))
    }

    fn read<'a>(&'a self, key: &'a Key, from: u64, count: u64) -> Work<'a, Vec<Vec<u8>>> {
        self.work("read a log", move |state| state.shelves.read(key, from, count, self.now()))
    }

    fn total<'a>(&'a self, space: Space, owner: Option<&'a str>) -> Work<'a, Total> {
        self.work("count records", move |state| state.shelves.total(space, owner))
    }

    fn sweep(&self, now_ms: u64) -> Work<'_, u64> {
        self.work("sweep", move |state| state.shelves.sweep(now_ms, SWEEP_MAX))
    }

    fn enqueue(&self, jobs: Vec<NewJob>) -> Work<'_, ()> {
        self.stir("enqueue jobs", |state| {
            let now_ms = self.now();
            for job in jobs {
                state.jobs.add(job, now_ms);
            }
        })
    }

    fn claim<'a>(&'a self, claim: &'a Claim) -> Work<'a, Vec<JobRow>> {
        self.work("claim jobs", |state| state.jobs.claim(claim, CLAIM_MAX, self.now()))
    }

    fn beat(&self, beats: Vec<Beat>, lease_ms: u64) -> Work<'_, Vec<Pulse>> {
        self.work("prolong leases", move |state| {
            let now_ms = self.now();
            beats.into_iter().map(|beat| state.jobs.beat(beat, lease_ms, now_ms)).collect()
        })
    }

    fn settle(&self, ends: Vec<Settle>) -> Work<'_, Vec<bool>> {
        // An attempt's end may let another job of a tenant begin that had its share.
        self.stir("settle jobs", |state| {
            let now_ms = self.now();
            ends.into_iter().map(|end| state.jobs.settle(end, now_ms)).collect()
        })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> Work<'a, bool> {
        self.stir("cancel a job", |state| state.jobs.cancel(id, self.now()))
    }

    fn revive<'a>(&'a self, id: &'a str, attempts: u32) -> Work<'a, bool> {
        self.stir("revive a job", move |state| state.jobs.revive(id, attempts, self.now()))
    }

    fn job<'a>(&'a self, id: &'a str) -> Work<'a, Option<JobRow>> {
        self.work("read a job", |state| state.jobs.get(id))
    }

    fn jobs<'a>(&'a self, filter: &'a JobFilter) -> Work<'a, Vec<JobRow>> {
        self.work("list jobs", |state| state.jobs.list(filter))
    }

    fn depth(&self) -> Work<'_, Depth> {
        self.work("count jobs", |state| state.jobs.depth())
    }

    fn forget_jobs(&self, until_ms: u64) -> Work<'_, u64> {
        self.work("forget jobs", move |state| state.jobs.forget(until_ms, FORGET_MAX))
    }

    fn wakes(&self) -> watch::Receiver<u64> {
        self.wakes.subscribe()
    }

    fn close(&self) -> Work<'_, ()> {
        Box::pin(async {
            // Closing twice is fine.
            if let Ok(mut state) = self.lock("close") {
                *state = State { closed: true, ..State::default() };
            }
            Ok(())
        })
    }
}
