//! Writers: each takes what waits, makes it in one transaction and answers all.
//!
//! A transaction costs more than what is done in it, so operations that come while one is under way
//! share the next. If any of them fails, all are undone and made again one by one: nobody's failure is
//! another's.

use super::change;
use super::claim;
use super::job;
use super::tx::{CLAIMS, Stop, Tx, group};
use super::{Core, OPERATION_WAIT, db};
use crate::backend::{Change, Key};
use crate::error::StoreError;
use crate::queue::{Beat, Claim, JobRow, NewJob, Pulse, Settle};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};

/// Operations in one transaction.
const BATCH: usize = 64;
/// How often one is begun when others are in its way.
const TRIES: u32 = 4;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Op {
    Write(Vec<Change>),
    Expire { keys: Vec<Key>, now_ms: u64 },
    Enqueue(Vec<NewJob>),
    Claim(Claim),
    Beat { beats: Vec<Beat>, lease_ms: u64 },
    Settle(Vec<Settle>),
    Cancel(String),
    Revive { id: String, attempts: u32 },
    Forget { until_ms: u64 },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Reply {
    Nothing,
    Made(bool),
    Count(u64),
    Jobs(Vec<JobRow>),
    Pulses(Vec<Pulse>),
    Heard(Vec<bool>),
}

/// An operation that waits.
pub(super) struct Pending {
    pub(super) what: &'static str,
    pub(super) op: Op,
    pub(super) reply: oneshot::Sender<Result<Reply, StoreError>>,
}

/// Why a transaction was not made.
enum Failed {
    /// By something that concerns all of it.
    All(sqlx::Error),
    /// By a connection that was gone before anything was committed: another one will do.
    Lost(sqlx::Error),
    /// By one of its operations, or by somebody else's transaction.
    One(Stop),
}

/// Works until the queue is closed and empty.
pub(super) async fn run(core: Arc<Core>, queue: Arc<Mutex<mpsc::Receiver<Pending>>>) {
    loop {
        let mut batch = Vec::new();
        if queue.lock().await.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        // Whoever does not wait any more does not want it any more.
        batch.retain(|pending| !pending.reply.is_closed());
        if !batch.is_empty() {
            make(&core, batch).await;
        }
    }
}

async fn make(core: &Core, batch: Vec<Pending>) {
    match connected(core, &batch).await {
        Ok(replies) => {
            for (pending, reply) in batch.into_iter().zip(replies) {
                answer(pending, Ok(reply));
            }
        }
        Err(Failed::All(error) | Failed::Lost(error)) => {
            for pending in batch {
                let error = core.error(pending.what, &error);
                answer(pending, Err(error));
            }
        }
        Err(Failed::One(stop)) => {
            let mut first = (batch.len() == 1).then_some(stop);
            for pending in batch {
                let outcome = alone(core, &pending, first.take()).await;
                answer(pending, outcome);
            }
        }
    }
}

/// Makes one operation in a transaction of its own; `stop` is how that ended already.
async fn alone(core: &Core, pending: &Pending, stop: Option<Stop>) -> Result<Reply, StoreError> {
    let mut last = stop;
    for _ in 0..TRIES {
        match last {
            Some(Stop::Undo) => return Ok(Reply::Made(false)),
            Some(Stop::Sql(error)) if !db::in_the_way(&error) => {
                return Err(core.error(pending.what, &error));
            }
            _ => {}
        }
        last = match connected(core, std::slice::from_ref(pending)).await {
            Ok(mut replies) => return Ok(replies.pop().unwrap_or(Reply::Nothing)),
            Err(Failed::All(error) | Failed::Lost(error)) => {
                return Err(core.error(pending.what, &error));
            }
            Err(Failed::One(stop)) => Some(stop),
        };
    }
    match last {
        Some(Stop::Sql(error)) => Err(core.error(pending.what, &error)),
        _ => Ok(Reply::Made(false)),
    }
}

fn answer(pending: Pending, outcome: Result<Reply, StoreError>) {
    // Who gave up waiting is not told.
    let _gone = pending.reply.send(outcome);
}

/// Attempts until there is a connection that lives: after a server was started anew all of the pool
/// are dead. And no longer than an operation may take, so that nothing stands still behind it.
async fn connected(core: &Core, batch: &[Pending]) -> Result<Vec<Reply>, Failed> {
    let attempts = async {
        for _ in 0..db::CONNECTIONS {
            match attempt(core, batch).await {
                Err(Failed::Lost(_)) => {}
                ended => return ended,
            }
        }
        attempt(core, batch).await
    };
    match tokio::time::timeout(OPERATION_WAIT, attempts).await {
        Ok(ended) => ended,
        Err(_elapsed) => Err(Failed::All(sqlx::Error::PoolTimedOut)),
    }
}

async fn attempt(core: &Core, batch: &[Pending]) -> Result<Vec<Reply>, Failed> {
    if let [Pending { op: Op::Write(changes), .. }] = batch
        && let Some(made) = change::append_alone(&core.pools, changes).await
    {
        return made.map(|made| vec![Reply::Made(made)]).map_err(|e| committed(Stop::Sql(e)));
    }
    let mut locks = BTreeSet::new();
    for pending in batch {
        pending.op.locks(&mut locks);
    }
    let mut tx = Tx::begin(&core.pools, &core.clock, &locks).await.map_err(begun)?;
    let replies = match each(&mut tx, batch).await {
        Ok(replies) => replies,
        Err(stop) => {
            // If this fails too the connection is thrown away, which undoes as well.
            let _undone = tx.rollback().await;
            return Err(failed(stop));
        }
    };
    let wake = tx.commit().await.map_err(|e| committed(Stop::Sql(e)))?;
    if wake {
        core.wake();
        core.made.send_replace(());
    }
    Ok(replies)
}

/// Makes all operations. Jobs that come or end, of which there are many, go together.
async fn each(tx: &mut Tx, batch: &[Pending]) -> Result<Vec<Reply>, Stop> {
    let mut jobs = Vec::new();
    let mut ends = Vec::new();
    for pending in batch {
        match &pending.op {
            Op::Enqueue(own) => jobs.extend(own),
            Op::Settle(own) => ends.extend(own),
            _ => {}
        }
    }
    job::enqueue(tx, &jobs).await?;
    let mut heard = job::settle(tx, &ends).await?.into_iter();
    let mut replies = Vec::with_capacity(batch.len());
    for pending in batch {
        tx.wrote = false;
        replies.push(match &pending.op {
            Op::Settle(own) => Reply::Heard(heard.by_ref().take(own.len()).collect()),
            op => op.make(tx).await?,
        });
    }
    Ok(replies)
}

fn begun(error: sqlx::Error) -> Failed {
    if db::lost(&error) { Failed::Lost(error) } else { Failed::All(error) }
}

fn failed(stop: Stop) -> Failed {
    match stop {
        Stop::Sql(error) if db::lost(&error) => Failed::Lost(error),
        Stop::Sql(error @ (sqlx::Error::PoolClosed | sqlx::Error::PoolTimedOut)) => {
            Failed::All(error)
        }
        stop => Failed::One(stop),
    }
}

/// Why something failed that may have been made all the same: made again, an append would find its
/// own entries and take them for somebody else's.
fn committed(stop: Stop) -> Failed {
    match failed(stop) {
        Failed::Lost(e) => Failed::All(e),
        other => other,
    }
}

impl Op {
    /// What no other transaction may touch meanwhile.
    fn locks(&self, locks: &mut BTreeSet<u32>) {
        match self {
            Self::Write(changes) => locks.extend(changes.iter().map(|c| group(c.key()))),
            Self::Expire { keys, .. } => locks.extend(keys.iter().map(group)),
            Self::Claim(_) => {
                locks.insert(CLAIMS);
            }
            Self::Enqueue(_)
            | Self::Beat { .. }
            | Self::Settle(_)
            | Self::Cancel(_)
            | Self::Revive { .. }
            | Self::Forget { .. } => {}
        }
    }

    async fn make(&self, tx: &mut Tx) -> Result<Reply, Stop> {
        Ok(match self {
            Self::Write(changes) => Reply::Made(change::write(tx, changes).await?),
            Self::Expire { keys, now_ms } => Reply::Count(change::expire(tx, keys, *now_ms).await?),
            // Both were made with their like.
            Self::Enqueue(_) | Self::Settle(_) => Reply::Nothing,
            Self::Claim(claim) => Reply::Jobs(claim::claim(tx, claim).await?),
            Self::Beat { beats, lease_ms } => Reply::Pulses(job::beat(tx, beats, *lease_ms).await?),
            Self::Cancel(id) => Reply::Made(job::cancel(tx, id).await?),
            Self::Revive { id, attempts } => Reply::Made(job::revive(tx, id, *attempts).await?),
            Self::Forget { until_ms } => Reply::Count(job::forget(tx, *until_ms).await?),
        })
    }
}

impl Change {
    fn key(&self) -> &Key {
        match self {
            Self::Put { record, .. } => &record.key,
            Self::Add { key, .. }
            | Self::Touch { key, .. }
            | Self::Delete { key }
            | Self::Append { key, .. } => key,
        }
    }
}
