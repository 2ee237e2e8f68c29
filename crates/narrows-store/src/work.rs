//! The queue, as the engine sees it, and the schedules that fill it.

use crate::Store;
use crate::backend::{Change, Expect, Key, Range, Record, Space};
use crate::error::StoreError;
use crate::queue::{Beat, Claim, Depth, JobFilter, JobRow, NewJob, Pulse, Settle};
use crate::wakes::{After, Wakes};
use narrows_types::fault::clip;
use tokio::sync::watch;

/// Schedules that one look takes.
const SCHEDULES_MAX: usize = 1_000;
/// Jobs in one list.
const JOBS_MAX: usize = 1_000;
/// Batches of jobs that are forgotten in one go; the next goes on.
const BATCHES: usize = 200;

/// A schedule: who it belongs to and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub principal: String,
    /// What it says, as the engine wrote it.
    pub body: String,
    /// Unix milliseconds when its next job comes.
    pub due_ms: u64,
    /// The version that a change must name; 0 if it is new.
    pub version: u64,
}

impl Store {
    /// Adds jobs; those that exist are left as they are.
    pub async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<(), StoreError> {
        let ready = self.wakes().map_or_else(Vec::new, |_| Wakes::ready(&jobs));
        self.backend().enqueue(jobs).await?;
        self.tell(ready);
        Ok(())
    }

    /// Takes jobs whose time has come.
    pub async fn claim(&self, claim: &Claim) -> Result<Vec<JobRow>, StoreError> {
        self.backend().claim(claim).await
    }

    /// Prolongs leases.
    pub async fn beat(&self, beats: Vec<Beat>, lease_ms: u64) -> Result<Vec<Pulse>, StoreError> {
        self.backend().beat(beats, lease_ms).await
    }

    /// Ends attempts; `false` for one whose lease was lost.
    pub async fn settle(&self, ends: Vec<Settle>) -> Result<Vec<bool>, StoreError> {
        let after = self.wakes().map(|_| After::each(&ends));
        let heard = self.backend().settle(ends).await?;
        if let (Some(wakes), Some(after)) = (self.wakes(), after) {
            wakes.settled(after, &heard);
        }
        Ok(heard)
    }

    /// Asks for a job's end.
    pub async fn cancel_job(&self, id: &str) -> Result<bool, StoreError> {
        let found = self.backend().cancel(id).await?;
        self.tell(found.then(|| id.to_owned()));
        Ok(found)
    }

    /// Queues a job again, with so many more attempts.
    pub async fn revive_job(&self, id: &str, attempts: u32) -> Result<bool, StoreError> {
        let revived = self.backend().revive(id, attempts).await?;
        self.tell(revived.then(|| id.to_owned()));
        Ok(revived)
    }

    /// One job.
    pub async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        self.backend().job(id).await
    }

    /// Jobs, newest first, at most 1,000.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobRow>, StoreError> {
        let filter = JobFilter { limit: filter.limit.min(JOBS_MAX), ..filter.clone() };
        self.backend().jobs(&filter).await
    }

    /// How many jobs are in each state.
    pub async fn job_depth(&self) -> Result<Depth, StoreError> {
        self.backend().depth().await
    }

    /// Removes jobs that have been over for longer than the config keeps them.
    pub async fn forget_old_jobs(&self) -> Result<u64, StoreError> {
        let now = self.backend().now_ms().await?;
        let ttl_ms = self.config().job_ttl_s.saturating_mul(1_000);
        let until_ms = now.saturating_sub(ttl_ms);
        let mut forgotten = 0;
        for _ in 0..BATCHES {
            match self.backend().forget_jobs(until_ms).await? {
                0 => break,
                gone => forgotten += gone,
            }
        }
        Ok(forgotten)
    }

    /// Changes when a job may have become ready, or was cancelled.
    pub fn job_wakes(&self) -> watch::Receiver<u64> {
        self.wakes().map_or_else(|| self.backend().wakes(), Wakes::listen)
    }

    fn tell(&self, ids: impl IntoIterator<Item = String>) {
        if let Some(wakes) = self.wakes() {
            wakes.tell(ids);
        }
    }

    /// Keeps a schedule. `false` if it is another version by now.
    pub async fn put_schedule(&self, schedule: &Schedule) -> Result<bool, StoreError> {
        let record = Record {
            key: schedule_key(&schedule.principal, &schedule.id),
            body: schedule.body.as_bytes().to_vec(),
            weight: schedule.body.len() as u64,
            version: 0,
            stamp_ms: schedule.due_ms,
            expires_ms: None,
        };
        let expect = match schedule.version {
            0 => Expect::Absent,
            version => Expect::Version(version),
        };
        self.backend().write(vec![Change::Put { record, expect }]).await
    }

    /// Schedules, the one that is due first first; of one principal or of all.
    pub async fn schedules(&self, principal: Option<&str>) -> Result<Vec<Schedule>, StoreError> {
        let range = Range {
            space: Space::Schedule,
            owner: principal.map(ToOwned::to_owned),
            oldest_first: true,
            after: None,
            limit: SCHEDULES_MAX,
            bodies: true,
        };
        let records = self.backend().list(&range, self.now_ms()).await?;
        let schedule = |record: Record| Schedule {
            id: record.key.id,
            principal: record.key.owner,
            body: String::from_utf8_lossy(&record.body).into_owned(),
            due_ms: record.stamp_ms,
            version: record.version,
        };
        Ok(records.into_iter().map(schedule).collect())
    }

    /// Removes a schedule.
    pub async fn delete_schedule(&self, principal: &str, id: &str) -> Result<(), StoreError> {
        let key = schedule_key(principal, id);
        if self.backend().get(&key, self.now_ms()).await?.is_none() {
            return Err(StoreError::NoSuch { what: "schedule", id: clip(id.to_owned(), 64) });
        }
        self.backend().write(vec![Change::Delete { key }]).await.map(drop)
    }
}

fn schedule_key(principal: &str, id: &str) -> Key {
    Key { space: Space::Schedule, owner: principal.to_owned(), id: id.to_owned() }
}
