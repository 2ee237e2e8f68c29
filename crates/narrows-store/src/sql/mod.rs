//! The back ends that speak SQL: `SQLite` and `PostgreSQL`, with the same statements.

mod change;
mod claim;
mod db;
mod job;
mod lane;
mod live;
mod record;
mod schema;
#[cfg(test)]
mod tests;
mod tx;
mod wake;

use crate::backend::{Backend, Change, Key, Range, Record, Space, Total, Work};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::place::Place;
use crate::queue::{Beat, Claim, Depth, JobFilter, JobRow, NewJob, Pulse, Settle};
use crate::{OPERATION_WAIT, Synchronous};
use lane::{Op, Pending, Reply};
use live::{Dialect, NOW, Pools};
use sqlx::AssertSqlSafe;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Operations that wait for a writer; whoever comes then waits for room.
const WAITING: usize = 1_024;
/// Writers: a file has one. A server has two, so that one gathers while the other waits for the disk;
/// more would share less.
const LANES: usize = 2;
/// Records that one sweep looks at.
const SWEEP: u64 = 1_000;
/// Free pages that one sweep gives back to the file system at most, so that it stays short.
const VACUUM: &str = "PRAGMA incremental_vacuum(4096)";

/// A database.
pub(crate) struct Sql {
    core: Arc<Core>,
    /// None once it is closed.
    lanes: Mutex<Option<mpsc::Sender<Pending>>>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    lanes: JoinSet<()>,
    /// They tell and hear of jobs until the store is closed.
    others: JoinSet<()>,
    listening: bool,
}

/// What all parts share.
struct Core {
    pools: Pools,
    clock: Clock,
    place: Place,
    wakes: watch::Sender<u64>,
    /// Changes when a job became ready here.
    made: watch::Sender<()>,
    closing: watch::Sender<bool>,
}

impl Core {
    fn error(&self, what: &'static str, error: &sqlx::Error) -> StoreError {
        db::error(&self.place, what, error)
    }

    fn refused(&self, what: &'static str, why: &str) -> StoreError {
        StoreError::Failed { place: self.place.to_string(), what, why: why.to_owned() }
    }

    fn wake(&self) {
        self.wakes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Runs one operation under the deadline and names the place in its error.
    async fn within<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(OPERATION_WAIT, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => Err(self.error(what, &e)),
            Err(_elapsed) => Err(StoreError::Busy { what, waited_s: OPERATION_WAIT.as_secs() }),
        }
    }
}

impl Sql {
    /// Opens what lies at `place` and brings its schema up to date.
    pub(crate) async fn open(
        place: Place,
        url: &str,
        clock: Clock,
        synchronous: Synchronous,
    ) -> Result<Self, StoreError> {
        let pools = db::open(&place, url, synchronous).await?;
        let wakes = watch::Sender::new(0);
        let made = watch::Sender::new(());
        let closing = watch::Sender::new(false);
        let core = Arc::new(Core { pools, clock, place, wakes, made, closing });
        schema::migrate(&core).await?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let mut tasks = Tasks::default();
        let lanes = if core.pools.dialect() == Dialect::Lite { 1 } else { LANES };
        for _ in 0..lanes {
            tasks.lanes.spawn(lane::run(Arc::clone(&core), Arc::clone(&receiver)));
        }
        if core.pools.dialect() == Dialect::Postgres {
            tasks.others.spawn(wake::tell(Arc::clone(&core), core.made.subscribe()));
        }
        Ok(Self { core, lanes: Mutex::new(Some(sender)), tasks: Mutex::new(tasks) })
    }

    /// Has a writer do something.
    async fn ask(&self, what: &'static str, op: Op) -> Result<Reply, StoreError> {
        let closed = || self.core.refused(what, "it is closed");
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lanes = lanes.ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let pending = Pending { what, op, reply };
            lanes.send(pending).await.map_err(|_gone| closed())?;
            answer.await.map_err(|_gone| closed())?
        };
        match tokio::time::timeout(OPERATION_WAIT, asked).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(StoreError::Busy { what, waited_s: OPERATION_WAIT.as_secs() }),
        }
    }

    fn odd(&self, what: &'static str, reply: &Reply) -> StoreError {
        self.core.refused(what, &format!("an answer to another question: {reply:?}"))
    }

    async fn time(&self) -> Result<u64, sqlx::Error> {
        match self.core.pools.dialect() {
            Dialect::Lite => Ok(self.core.clock.now_ms()),
            Dialect::Postgres => {
                let rows = self.core.pools.rows(AssertSqlSafe(format!("SELECT {NOW}")), &[]);
                rows.await?.first().ok_or(sqlx::Error::RowNotFound)?.natural(0)
            }
        }
    }

    async fn sweep_once(&self, now_ms: u64) -> Result<u64, StoreError> {
        const WHAT: &str = "sweep";
        let expired = record::expired(&self.core.pools, now_ms, SWEEP);
        let keys = self.core.within(WHAT, expired).await?;
        let mut gone = 0;
        if !keys.is_empty() {
            let reply = self.ask(WHAT, Op::Expire { keys, now_ms }).await?;
            let Reply::Count(count) = reply else { return Err(self.odd(WHAT, &reply)) };
            gone = count;
        }
        if let Pools::Lite { writer, .. } = &self.core.pools {
            self.core.within(WHAT, sqlx::raw_sql(VACUUM).execute(writer)).await?;
        }
        Ok(gone)
    }

    /// Waits for all that is under way.
    async fn finish(&self) {
        drop(self.lanes.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.lanes.join_next().await.is_some() {}
        self.core.closing.send_replace(true);
        while tasks.others.join_next().await.is_some() {}
        self.core.pools.close().await;
    }
}

/// Asks a writer and takes the one kind of reply that fits.
macro_rules! ask {
    ($self:ident, $what:literal, $op:expr, $reply:ident) => {
        Box::pin(async move {
            match $self.ask($what, $op).await? {
                Reply::$reply(value) => Ok(value),
                other => Err($self.odd($what, &other)),
            }
        })
    };
}

/// Reads, without a writer.
macro_rules! see {
    ($self:ident, $what:literal, $work:expr) => {
        Box::pin($self.core.within($what, $work))
    };
}

impl Backend for Sql {
    fn now_ms(&self) -> Work<'_, u64> {
        see!(self, "tell the time", self.time())
    }

    fn write(&self, changes: Vec<Change>) -> Work<'_, bool> {
        ask!(self, "write", Op::Write(changes), Made)
    }

    fn get<'a>(&'a self, key: &'a Key, now_ms: u64) -> Work<'a, Option<Record>> {
        see!(self, "read a record", record::get(&self.core.pools, key, now_ms))
    }

    fn list<'a>(&'a self, range: &'a Range, now_ms: u64) -> Work<'a, Vec<Record>> {
        see!(self, "list records", record::list(&self.core.pools, range, now_ms))
    }

    fn read<'a>(&'a self, key: &'a Key, from: u64, count: u64) -> Work<'a, Vec<Vec<u8>>> {
        see!(
            self,
            "read a log",
            record::read(&self.core.pools, &self.core.clock, key, (from, count))
        )
    }

    fn total<'a>(&'a self, space: Space, owner: Option<&'a str>) -> Work<'a, Total> {
        see!(self, "add up", record::total(&self.core.pools, space, owner))
    }

    fn sweep(&self, now_ms: u64) -> Work<'_, u64> {
        Box::pin(self.sweep_once(now_ms))
    }

    fn enqueue(&self, jobs: Vec<NewJob>) -> Work<'_, ()> {
        Box::pin(async move { self.ask("enqueue jobs", Op::Enqueue(jobs)).await.map(drop) })
    }

    fn claim<'a>(&'a self, claim: &'a Claim) -> Work<'a, Vec<JobRow>> {
        Box::pin(async move {
            // Idle workers ask often; only who may get something has to wait for its turn.
            let due = claim::due(&self.core.pools, &self.core.clock);
            if claim.count == 0 || !self.core.within("claim jobs", due).await? {
                return Ok(Vec::new());
            }
            match self.ask("claim jobs", Op::Claim(claim.clone())).await? {
                Reply::Jobs(jobs) => Ok(jobs),
                other => Err(self.odd("claim jobs", &other)),
            }
        })
    }

    fn beat(&self, beats: Vec<Beat>, lease_ms: u64) -> Work<'_, Vec<Pulse>> {
        ask!(self, "prolong leases", Op::Beat { beats, lease_ms }, Pulses)
    }

    fn settle(&self, ends: Vec<Settle>) -> Work<'_, Vec<bool>> {
        ask!(self, "settle jobs", Op::Settle(ends), Heard)
    }

    fn cancel<'a>(&'a self, id: &'a str) -> Work<'a, bool> {
        ask!(self, "cancel a job", Op::Cancel(id.to_owned()), Made)
    }

    fn revive<'a>(&'a self, id: &'a str, attempts: u32) -> Work<'a, bool> {
        ask!(self, "revive a job", Op::Revive { id: id.to_owned(), attempts }, Made)
    }

    fn job<'a>(&'a self, id: &'a str) -> Work<'a, Option<JobRow>> {
        see!(self, "read a job", job::job(&self.core.pools, id))
    }

    fn jobs<'a>(&'a self, filter: &'a JobFilter) -> Work<'a, Vec<JobRow>> {
        see!(self, "list jobs", job::jobs(&self.core.pools, filter))
    }

    fn depth(&self) -> Work<'_, Depth> {
        see!(self, "count jobs", job::depth(&self.core.pools))
    }

    fn forget_jobs(&self, until_ms: u64) -> Work<'_, u64> {
        ask!(self, "forget jobs", Op::Forget { until_ms }, Count)
    }

    fn wakes(&self) -> watch::Receiver<u64> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if open && !tasks.listening {
            tasks.listening = true;
            tasks.others.spawn(wake::listen(Arc::clone(&self.core)));
        }
        self.core.wakes.subscribe()
    }

    fn close(&self) -> Work<'_, ()> {
        Box::pin(async move {
            self.finish().await;
            Ok(())
        })
    }
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql").field("place", &self.core.place).finish_non_exhaustive()
    }
}
