//! What a back end must be able to do: keep records and logs, and hand out jobs.
//!
//! Everything that Narrows stores is a record in a space, perhaps with a log beside it. What the
//! records mean stands in the modules above, once for all back ends; a back end knows bytes.

use crate::error::StoreError;
use crate::queue::{Beat, Claim, Depth, JobFilter, JobRow, NewJob, Pulse, Settle};
use std::fmt;
use std::pin::Pin;
use tokio::sync::watch;

#[cfg(test)]
pub(crate) mod suite;

/// An operation of a back end under way.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The kinds of record, each a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    /// Stored results; the body lies in the log, in chunks. Owner: the principal.
    Artifact,
    /// Shapes of results that were seen. Owner: the server.
    Observed,
    /// How often tools were called: the count is the weight. Owner: the server.
    Usage,
    /// Runs; the log is the journal. Owner: the principal.
    Run,
    /// Sessions. Owner: the principal.
    Session,
    /// Values of a session. Owner: the session.
    Value,
    /// Intents; the log holds the versions. Owner: the principal.
    Intent,
    /// When jobs are to be enqueued. Owner: the principal.
    Schedule,
    /// Which server has a task that a client asks for. Owner: the principal.
    Task,
    /// What all replicas share and nobody else knows. Owner: empty.
    Secret,
}

impl Space {
    /// Every space.
    pub(crate) const ALL: [Self; 10] = [
        Self::Artifact,
        Self::Observed,
        Self::Usage,
        Self::Run,
        Self::Session,
        Self::Value,
        Self::Intent,
        Self::Schedule,
        Self::Task,
        Self::Secret,
    ];

    /// Its name in the store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Artifact => "artifact",
            Self::Observed => "observed",
            Self::Usage => "usage",
            Self::Run => "run",
            Self::Session => "session",
            Self::Value => "value",
            Self::Intent => "intent",
            Self::Schedule => "schedule",
            Self::Task => "task",
            Self::Secret => "secret",
        }
    }
}

/// Which record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) space: Space,
    /// Whose it is; records of others do not exist for them.
    pub(crate) owner: String,
    /// Unique within the space and the owner.
    pub(crate) id: String,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Key,
    pub(crate) body: Vec<u8>,
    /// What it counts for in the totals of its space; bytes, mostly.
    pub(crate) weight: u64,
    /// 1 when it is new, one more with each put. Ignored in a put.
    pub(crate) version: u64,
    /// Where it stands in lists, Unix milliseconds: when it was made, or used last.
    pub(crate) stamp_ms: u64,
    /// Unix milliseconds when it and its log are gone: an expired record does not exist, swept or
    /// not.
    pub(crate) expires_ms: Option<u64>,
}

/// What must be so for a put to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Nothing.
    Any,
    /// No such record exists (an expired one does not).
    Absent,
    /// It exists in this version.
    Version(u64),
}

/// One change among several that are made together.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Writes a whole record. A log that an expired record left is gone then.
    Put { record: Record, expect: Expect },
    /// Adds to a record's weight and sets its stamp; makes it, without a body, if there is none.
    Add { key: Key, weight: u64, stamp_ms: u64 },
    /// Sets stamp and expiry of a record, if it exists.
    Touch { key: Key, stamp_ms: u64, expires_ms: Option<u64> },
    /// Removes a record and its log.
    Delete { key: Key },
    /// Appends to the log beside a record, which need not exist. The log's length must be `from`.
    Append { key: Key, from: u64, entries: Vec<Vec<u8>> },
}

/// Which records of a space.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) space: Space,
    /// Only this owner's.
    pub(crate) owner: Option<String>,
    /// The smallest stamp first, else the greatest; ids break ties in the same direction.
    pub(crate) oldest_first: bool,
    /// Where the last page ended: its last record's stamp and id.
    pub(crate) after: Option<(u64, String)>,
    pub(crate) limit: usize,
    /// Without it bodies come back empty.
    pub(crate) bodies: bool,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Total {
    pub(crate) records: u64,
    pub(crate) weight: u64,
}

/// A place where records, logs and jobs are kept. Every operation is atomic, whoever else uses the
/// same place; every one ends by itself within a deadline.
pub(crate) trait Backend: Send + Sync + fmt::Debug {
    /// Unix milliseconds, the same for all who share the place.
    fn now_ms(&self) -> Work<'_, u64>;

    /// Makes all changes or, if one's expectation fails, none; `false` then. At most some thousand
    /// changes; several to one key are made in their order.
    fn write(&self, changes: Vec<Change>) -> Work<'_, bool>;

    /// One record, if it exists at `now_ms`.
    fn get<'a>(&'a self, key: &'a Key, now_ms: u64) -> Work<'a, Option<Record>>;

    /// Records that exist at `now_ms`, in order.
    fn list<'a>(&'a self, range: &'a Range, now_ms: u64) -> Work<'a, Vec<Record>>;

    /// Entries of a log from number `from`, at most `count`; none beyond the end, and none if its
    /// record has expired.
    fn read<'a>(&'a self, key: &'a Key, from: u64, count: u64) -> Work<'a, Vec<Vec<u8>>>;

    /// How much a space holds, of one owner or of all, expired records that are not swept included.
    /// Costs about the same however much it is.
    fn total<'a>(&'a self, space: Space, owner: Option<&'a str>) -> Work<'a, Total>;

    /// Removes records that have expired, with their logs, and logs that lost their record to it; a
    /// bounded number at once. Gives how many records went.
    fn sweep(&self, now_ms: u64) -> Work<'_, u64>;

    /// Adds jobs. A job whose id exists is left as it is. Wakes whoever listens.
    fn enqueue(&self, jobs: Vec<NewJob>) -> Work<'_, ()>;

    /// Takes jobs whose time has come: the highest priority first, then tenants with fewer jobs
    /// running, then the longest waiting. What ran out of its lease is taken again, its attempt
    /// counted up; what did so at its last attempt is dead instead.
    fn claim<'a>(&'a self, claim: &'a Claim) -> Work<'a, Vec<JobRow>>;

    /// Prolongs leases and writes progress down. In the order of the beats.
    fn beat(&self, beats: Vec<Beat>, lease_ms: u64) -> Work<'_, Vec<Pulse>>;

    /// Ends attempts. `false` for one whose lease was lost: nothing was written for it.
    fn settle(&self, ends: Vec<Settle>) -> Work<'_, Vec<bool>>;

    /// Asks for a job's end: one that waits is cancelled at once, one that runs hears of it with its
    /// next beat, one that is over stays as it is. `false` if there is none.
    fn cancel<'a>(&'a self, id: &'a str) -> Work<'a, bool>;

    /// Queues a job again, at once, that is paused, dead, failed, cancelled or waiting, with
    /// `attempts` more attempts. Of one that runs it is noted: should it pause, it is queued again.
    /// `false` if there is none or it is done.
    fn revive<'a>(&'a self, id: &'a str, attempts: u32) -> Work<'a, bool>;

    /// One job.
    fn job<'a>(&'a self, id: &'a str) -> Work<'a, Option<JobRow>>;

    /// Jobs, newest first.
    fn jobs<'a>(&'a self, filter: &'a JobFilter) -> Work<'a, Vec<JobRow>>;

    /// How many jobs are in each state.
    fn depth(&self) -> Work<'_, Depth>;

    /// Removes jobs that were over before `until_ms`; a bounded number at once.
    fn forget_jobs(&self, until_ms: u64) -> Work<'_, u64>;

    /// Changes whenever a job may have become ready or was cancelled, here or on another replica.
    /// May change without a cause and may miss one: whoever listens also asks now and then.
    fn wakes(&self) -> watch::Receiver<u64>;

    /// Finishes what is under way; later operations fail.
    fn close(&self) -> Work<'_, ()>;
}
