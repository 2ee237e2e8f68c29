//! Handing out jobs.

use super::job::{COLUMNS, row};
use super::live::{ABOUT_NOW, Dialect, Pools, values};
use super::tx::Tx;
use crate::clock::Clock;
use crate::queue::{Claim, JobRow, JobState};
use sqlx::AssertSqlSafe;
use std::collections::BTreeSet;

/// Leases that end at once.
const REAP: u64 = 200;

const DUE: [&str; 2] = [
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM job WHERE state = 'queued' AND visible_ms <= ",
    ") OR EXISTS (SELECT 1 FROM job WHERE state = 'running' AND visible_ms <= ",
];
/// What ran out of its lease waits again, or is over.
const LAPSED: &str = "UPDATE job SET state = CASE WHEN cancel = 1 THEN 'cancelled' \
         WHEN attempt >= max_attempts THEN 'dead' ELSE 'queued' END, \
     finished_ms = CASE WHEN cancel = 1 OR attempt >= max_attempts THEN $1 ELSE 0 END, \
     error = CASE WHEN cancel = 0 AND attempt >= max_attempts \
         THEN 'the lease of attempt ' || attempt || ' of ' || max_attempts || \
              ' ran out: the worker ' || worker || ' died or hung' ELSE error END \
     WHERE state = 'running' AND id IN (SELECT id FROM job WHERE state = 'running' \
         AND visible_ms <= $1 ORDER BY visible_ms LIMIT $2";
/// Tenants that have jobs waiting, found by leaps through the index however many jobs they have; what
/// runs for each; the first jobs of each; and those in their order.
const PICK: [&str; 3] = [
    "WITH RECURSIVE tenants (tenant) AS (SELECT min(tenant) FROM job WHERE state = 'queued' \
         UNION ALL SELECT (SELECT min(job.tenant) FROM job WHERE job.state = 'queued' \
             AND job.tenant > tenants.tenant) FROM tenants WHERE tenants.tenant IS NOT NULL), \
     running (tenant, jobs) AS \
         (SELECT tenant, count(*) FROM job WHERE state = 'running' GROUP BY tenant), \
     ranked AS (SELECT first.id, first.priority, first.visible_ms, coalesce(running.jobs, 0) + \
         row_number() OVER (PARTITION BY first.tenant \
             ORDER BY first.priority DESC, first.visible_ms, first.id) AS place \
         FROM tenants ",
    " LEFT JOIN running ON running.tenant = first.tenant), \
     picked AS (SELECT id, priority, visible_ms, place FROM ranked WHERE place <= $3 \
         ORDER BY priority DESC, place, visible_ms, id LIMIT $2) \
     SELECT ",
    " FROM picked JOIN job ON job.id = picked.id \
     ORDER BY picked.priority DESC, picked.place, picked.visible_ms, picked.id",
];
const FIRST: &str = " FROM job AS q WHERE q.state = 'queued' \
     AND q.tenant = tenants.tenant AND q.visible_ms <= $1 \
     ORDER BY q.priority DESC, q.visible_ms, q.id LIMIT $2";
const TAKE: &str = "UPDATE job SET state = 'running', attempt = attempt + 1, revived = 0, \
     visible_ms = $1, worker = $2 WHERE state = 'queued' AND id IN ";

/// Whether there may be anything to claim.
pub(super) async fn due(pools: &Pools, clock: &Clock) -> Result<bool, sqlx::Error> {
    let [queued, running] = DUE;
    let (now, values) = match pools.dialect() {
        Dialect::Lite => ("$1", values![clock.now_ms()].to_vec()),
        Dialect::Postgres => (ABOUT_NOW, Vec::new()),
    };
    // Our own words only, here and below.
    let sql = AssertSqlSafe(format!("{queued}{now}{running}{now})"));
    Ok(!pools.rows(sql, &values).await?.is_empty())
}

pub(super) async fn claim(tx: &mut Tx, claim: &Claim) -> Result<Vec<JobRow>, sqlx::Error> {
    lapse(tx).await?;
    let values = values![tx.now_ms, claim.count, claim.tenant_running_max];
    let rows = tx.rows(AssertSqlSafe(pick(tx.dialect())), &values).await?;
    let mut jobs: Vec<JobRow> = rows.iter().map(row).collect::<Result<_, _>>()?;
    if jobs.is_empty() {
        return Ok(jobs);
    }
    let until = tx.now_ms.saturating_add(claim.lease_ms);
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    let ids = serde_json::to_string(&ids).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
    let sql = format!("{TAKE}{} RETURNING id", among(tx.dialect()));
    let taken = tx.rows(AssertSqlSafe(sql), &values![until, &claim.worker, &ids]).await?;
    tx.wrote = true;
    let taken: BTreeSet<String> = taken.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    jobs.retain(|job| taken.contains(&job.id));
    for job in &mut jobs {
        job.state = JobState::Running;
        job.attempt += 1;
        job.visible_ms = until;
        job.worker.clone_from(&claim.worker);
    }
    Ok(jobs)
}

async fn lapse(tx: &mut Tx) -> Result<(), sqlx::Error> {
    let end = match tx.dialect() {
        Dialect::Lite => ")",
        // Whoever beats or settles it at this moment still has it.
        Dialect::Postgres => " FOR UPDATE SKIP LOCKED)",
    };
    tx.exec(AssertSqlSafe(format!("{LAPSED}{end}")), &values![tx.now_ms, REAP]).await?;
    Ok(())
}

fn pick(dialect: Dialect) -> String {
    let [head, middle, tail] = PICK;
    let first = match dialect {
        Dialect::Lite => format!("JOIN job AS first ON first.id IN (SELECT q.id{FIRST})"),
        Dialect::Postgres => format!(
            "CROSS JOIN LATERAL (SELECT q.id, q.tenant, q.priority, q.visible_ms{FIRST}) AS first"
        ),
    };
    format!("{head}{first}{middle}{COLUMNS}{tail}")
}

/// One of the texts in the third value, a JSON array.
fn among(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Lite => "(SELECT value FROM json_each($3))",
        Dialect::Postgres => "(SELECT json_array_elements_text($3::json))",
    }
}
