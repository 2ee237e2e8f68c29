//! Jobs, one row each: how they come, are kept alive, end, are read and forgotten.

use super::live::{Pools, Row, Value, parts, places, unwritten, values};
use super::tx::Tx;
use crate::queue::{
    Beat, Depth, JobFilter, JobRow, JobState, NewJob, Outcome, Pulse, Settle, Taken,
};
use sqlx::AssertSqlSafe;
use std::collections::HashSet;
use std::fmt::Write;

/// Jobs that are forgotten at once.
const FORGET: u64 = 1_000;
/// What [`row`] reads, in its order.
pub(super) const COLUMNS: &str = "job.id, job.principal, job.tenant, job.state, job.attempt, \
     job.max_attempts, job.priority, job.visible_ms, job.worker, job.cancel, job.progress, \
     job.result, job.error, job.created_ms, job.finished_ms, job.body";

const INSERT: &str = "INSERT INTO job (id, principal, tenant, state, attempt, max_attempts, \
     priority, visible_ms, worker, created_ms, body) VALUES ";
const UNKNOWN: &str = " ON CONFLICT (id) DO NOTHING";
const BEAT: &str = "UPDATE job SET visible_ms = $3 \
     WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING cancel";
const BEAT_TELLING: &str = "UPDATE job SET visible_ms = $3, progress = $4 \
     WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING cancel";
const DONE: [&str; 2] = [
    "UPDATE job SET state = 'done', result = ended.column3, finished_ms = $1 FROM (VALUES ",
    ") AS ended WHERE job.id = ended.column1 AND job.attempt = ended.column2 \
         AND job.state = 'running' RETURNING job.id",
];
const FAILED: &str = "UPDATE job SET state = 'failed', error = $4, finished_ms = $3 \
     WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING state";
const RETRY: &str = "UPDATE job SET state = CASE WHEN cancel = 1 THEN 'cancelled' \
         WHEN attempt >= max_attempts THEN 'dead' ELSE 'queued' END, \
     finished_ms = CASE WHEN cancel = 1 OR attempt >= max_attempts THEN $3 ELSE 0 END, \
     error = $4, visible_ms = $5 \
     WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING state";
const PAUSED: &str = "UPDATE job SET state = CASE WHEN cancel = 1 THEN 'cancelled' \
         WHEN revived = 1 THEN 'queued' ELSE 'paused' END, \
     finished_ms = CASE WHEN cancel = 1 THEN $3 ELSE 0 END, \
     visible_ms = $3, revived = 0, progress = $4 \
     WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING state";
const CANCELLED: &str = "UPDATE job SET state = 'cancelled', finished_ms = $3 \
     WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING state";
/// The limit grows instead of the attempt going back: its number is the fence and never comes again.
const RELEASED: &str = "UPDATE job SET \
     state = CASE WHEN cancel = 1 THEN 'cancelled' ELSE 'queued' END, \
     finished_ms = CASE WHEN cancel = 1 THEN $3 ELSE 0 END, \
     visible_ms = $3, max_attempts = max_attempts + 1 \
     WHERE id = $1 AND attempt = $2 AND state = 'running' RETURNING state";
const CANCEL: &str = "UPDATE job SET cancel = 1, \
     finished_ms = CASE WHEN state = 'running' THEN 0 ELSE $2 END, \
     state = CASE WHEN state = 'running' THEN 'running' ELSE 'cancelled' END \
     WHERE id = $1 AND state IN ('queued', 'running', 'paused')";
const REVIVE: &str = "UPDATE job SET max_attempts = max_attempts + $3, finished_ms = 0, \
     revived = CASE WHEN state = 'running' THEN 1 ELSE 0 END, \
     cancel = CASE WHEN state = 'running' THEN cancel ELSE 0 END, \
     visible_ms = CASE WHEN state = 'running' THEN visible_ms ELSE $2 END, \
     state = CASE WHEN state = 'running' THEN 'running' ELSE 'queued' END \
     WHERE id = $1 AND state <> 'done'";
const EXISTS: &str = "SELECT attempt FROM job WHERE id = $1";
const DELETE: &str = "DELETE FROM job WHERE id IN (SELECT id FROM job \
     WHERE finished_ms > 0 AND finished_ms < $1 ORDER BY finished_ms LIMIT $2)";
const DEPTH: &str = "SELECT state, count(*) FROM job GROUP BY state";

pub(super) async fn enqueue(tx: &mut Tx, jobs: &[&NewJob]) -> Result<(), sqlx::Error> {
    for part in parts(jobs) {
        let rows: Vec<_> = part.iter().flat_map(|job| columns(job, tx.now_ms)).collect();
        let places = places(0, part.len(), rows.len() / part.len());
        // Only placeholders were written into it.
        let sql = AssertSqlSafe(format!("{INSERT}{places}{UNKNOWN}"));
        let added = tx.exec(sql, &rows).await?;
        tx.wake |= added > 0 && part.iter().any(|job| job.running.is_none());
    }
    Ok(())
}

fn columns(job: &NewJob, now: u64) -> [Value<'_>; 11] {
    let (state, attempt, worker, visible): (_, u32, _, _) = match &job.running {
        None => (JobState::Queued, 0, "", now.saturating_add(job.delay_ms)),
        Some(Taken { worker, lease_ms }) => {
            (JobState::Running, 1, worker.as_str(), now.saturating_add(*lease_ms))
        }
    };
    let [id, principal, tenant, body] = values![&job.id, &job.principal, &job.tenant, &job.body];
    let [attempt, most] = values![attempt, job.max_attempts];
    let priority = Value::Int(i64::from(job.priority));
    let (state, worker) = (state.name().into(), worker.into());
    let [visible, now] = values![visible, now];
    [id, principal, tenant, state, attempt, most, priority, visible, worker, now, body]
}

pub(super) async fn beat(
    tx: &mut Tx,
    beats: &[Beat],
    lease_ms: u64,
) -> Result<Vec<Pulse>, sqlx::Error> {
    let until = tx.now_ms.saturating_add(lease_ms);
    let mut pulses = Vec::with_capacity(beats.len());
    for beat in beats {
        let mut values = values![&beat.id, beat.attempt, until].to_vec();
        let mut sql = BEAT;
        if let Some(progress) = &beat.progress {
            values.push(progress.into());
            sql = BEAT_TELLING;
        }
        let rows = tx.rows(sql, &values).await?;
        tx.wrote |= !rows.is_empty();
        pulses.push(match rows.first().map(|row| row.int(0)).transpose()? {
            None => Pulse::Lost,
            Some(0) => Pulse::Held,
            Some(_) => Pulse::Cancel,
        });
    }
    Ok(pulses)
}

/// Whether each was heard. Of several for one job the first is.
pub(super) async fn settle(tx: &mut Tx, ends: &[&Settle]) -> Result<Vec<bool>, sqlx::Error> {
    let mut heard = vec![false; ends.len()];
    // Most are done: they go together, the first of each job.
    let mut together = Vec::new();
    let mut ids = HashSet::new();
    for (at, end) in ends.iter().enumerate() {
        if !ids.insert(end.id.as_str()) {
            continue;
        }
        if let Outcome::Done(result) = &end.outcome {
            together.push((at, *end, result));
        }
    }
    for part in parts(&together) {
        finish(tx, part, &mut heard).await?;
    }
    let together: HashSet<usize> = together.iter().map(|(at, ..)| *at).collect();
    for ((at, end), heard) in ends.iter().enumerate().zip(&mut heard) {
        if !together.contains(&at) {
            *heard = settle_one(tx, end).await?;
        }
    }
    Ok(heard)
}

async fn finish(
    tx: &mut Tx,
    part: &[(usize, &Settle, &Vec<u8>)],
    heard: &mut [bool],
) -> Result<(), sqlx::Error> {
    let mut values = values![tx.now_ms].to_vec();
    for (_, end, result) in part {
        values.extend(values![&end.id, end.attempt, *result]);
    }
    let [head, tail] = DONE;
    // Only placeholders were written into it.
    let sql = AssertSqlSafe(format!("{head}{}{tail}", places(1, part.len(), 3)));
    let rows = tx.rows(sql, &values).await?;
    tx.wrote |= !rows.is_empty();
    let known: HashSet<String> = rows.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    for (at, end, _) in part {
        if let Some(heard) = heard.get_mut(*at) {
            *heard = known.contains(&end.id);
        }
    }
    Ok(())
}

async fn settle_one(tx: &mut Tx, end: &Settle) -> Result<bool, sqlx::Error> {
    let now = tx.now_ms;
    let mut values = values![&end.id, end.attempt, now].to_vec();
    let sql = match &end.outcome {
        Outcome::Done(result) => {
            let mut heard = [false];
            finish(tx, &[(0, end, result)], &mut heard).await?;
            return Ok(heard == [true]);
        }
        Outcome::Failed { error, retry_ms: None } => {
            values.push(error.into());
            FAILED
        }
        Outcome::Failed { error, retry_ms: Some(pause) } => {
            values.extend(values![error, now.saturating_add(*pause)]);
            RETRY
        }
        Outcome::Paused(question) => {
            values.push(question.into());
            PAUSED
        }
        Outcome::Cancelled => CANCELLED,
        Outcome::Released => RELEASED,
    };
    let rows = tx.rows(sql, &values).await?;
    tx.wrote |= !rows.is_empty();
    let Some(row) = rows.first() else { return Ok(false) };
    tx.wake |= row.text(0)? == JobState::Queued.name();
    Ok(true)
}

pub(super) async fn cancel(tx: &mut Tx, id: &str) -> Result<bool, sqlx::Error> {
    let changed = tx.exec(CANCEL, &values![id, tx.now_ms]).await? > 0;
    tx.wake |= changed;
    Ok(changed || !tx.rows(EXISTS, &values![id]).await?.is_empty())
}

pub(super) async fn revive(tx: &mut Tx, id: &str, attempts: u32) -> Result<bool, sqlx::Error> {
    let changed = tx.exec(REVIVE, &values![id, tx.now_ms, attempts]).await? > 0;
    tx.wake |= changed;
    Ok(changed)
}

pub(super) async fn forget(tx: &mut Tx, until_ms: u64) -> Result<u64, sqlx::Error> {
    tx.exec(DELETE, &values![until_ms, FORGET]).await
}

pub(super) async fn job(pools: &Pools, id: &str) -> Result<Option<JobRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE id = $1");
    // Our own words only.
    let rows = pools.rows(AssertSqlSafe(sql), &values![id]).await?;
    rows.first().map(row).transpose()
}

pub(super) async fn jobs(pools: &Pools, filter: &JobFilter) -> Result<Vec<JobRow>, sqlx::Error> {
    let mut sql = format!("SELECT {COLUMNS} FROM job WHERE ");
    let mut values = values![filter.limit as u64].to_vec();
    if let Some(principal) = &filter.principal {
        values.push(principal.into());
        write!(sql, "principal = ${} AND ", values.len()).map_err(unwritten)?;
    }
    if let Some(state) = filter.state {
        values.push(state.name().into());
        write!(sql, "state = ${} AND ", values.len()).map_err(unwritten)?;
    }
    if let Some((created, id)) = &filter.after {
        values.extend(values![*created, id]);
        let at = values.len();
        write!(sql, "(created_ms, id) < (${}, ${at}) AND ", at - 1).map_err(unwritten)?;
    }
    sql.push_str("1 = 1 ORDER BY created_ms DESC, id DESC LIMIT $1");
    // Only placeholders and our own words were written into it.
    let rows = pools.rows(AssertSqlSafe(sql), &values).await?;
    rows.iter().map(row).collect()
}

pub(super) async fn depth(pools: &Pools) -> Result<Depth, sqlx::Error> {
    let mut depth = Depth::default();
    for row in pools.rows(DEPTH, &[]).await? {
        let name = row.text(0)?;
        let at = JobState::ALL.iter().position(|state| state.name() == name);
        if let Some(count) = at.and_then(|at| depth.0.get_mut(at)) {
            *count = row.natural(1)?;
        }
    }
    Ok(depth)
}

/// A job of [`COLUMNS`].
pub(super) fn row(row: &Row) -> Result<JobRow, sqlx::Error> {
    let small = |at| row.int(at).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let state = row.text(3)?;
    Ok(JobRow {
        id: row.text(0)?,
        principal: row.text(1)?,
        tenant: row.text(2)?,
        state: JobState::parse(&state)
            .ok_or_else(|| sqlx::Error::Protocol(format!("a job in the state `{state}`")))?,
        attempt: small(4)?,
        max_attempts: small(5)?,
        priority: i32::try_from(row.int(6)?).unwrap_or_default(),
        visible_ms: row.natural(7)?,
        worker: row.text(8)?,
        cancel: row.int(9)? != 0,
        progress: row.text(10)?,
        result: row.blob(11)?,
        error: row.text(12)?,
        created_ms: row.natural(13)?,
        finished_ms: row.natural(14)?,
        body: row.blob(15)?,
    })
}
