//! One transaction of a lane, and what is done at its end.

use super::live::{Dialect, Live, NOW, Pools, Row, Value, values};
use crate::backend::{Key, Space};
use crate::clock::Clock;
use sqlx::{AssertSqlSafe, SqlSafeStr};
use std::collections::{BTreeMap, BTreeSet};

/// Keys are locked in so many groups: a `PostgreSQL` server has room for some thousand locks.
const GROUPS: u32 = 1_024;
/// Whoever hands out jobs has this lock: limits and fairness are right for one at a time only.
pub(super) const CLAIMS: u32 = GROUPS;

/// Takes the locks in their order, which is the same for all, so nobody waits in a ring; and tells
/// the time.
const LOCK: &str = "count(pg_advisory_xact_lock(hashtext(current_schema()), one)::text) \
     FROM unnest(string_to_array($1, ',')::int[]) AS one";
const COUNT: &str = "INSERT INTO total (space, everyone, owner, records, weight) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (space, everyone, owner) DO UPDATE SET \
     records = total.records + excluded.records, weight = total.weight + excluded.weight";
/// Owners come and go; who has nothing needs no row.
const UNCOUNT: &str =
    "DELETE FROM total WHERE space = $1 AND everyone = 0 AND owner = $2 AND records = 0";

/// Why an operation was not made.
#[derive(Debug)]
pub(super) enum Stop {
    /// An expectation failed after something was written: what was written must go.
    Undo,
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

/// A transaction with what must be done before its end.
pub(super) struct Tx {
    live: Live,
    /// Unix milliseconds when it began.
    pub(super) now_ms: u64,
    /// Whether the operation under way wrote something.
    pub(super) wrote: bool,
    /// Whether a job may have become ready.
    pub(super) wake: bool,
    /// How the totals change: written at the end, so that their rows are locked for a moment only.
    totals: BTreeMap<(&'static str, String), (i64, i64)>,
}

impl Tx {
    pub(super) async fn begin(
        pools: &Pools,
        clock: &Clock,
        locks: &BTreeSet<u32>,
    ) -> Result<Self, sqlx::Error> {
        let mut live = pools.begin().await?;
        let now_ms = match live.dialect() {
            Dialect::Lite => clock.now_ms(),
            Dialect::Postgres => {
                let list: Vec<String> = locks.iter().map(u32::to_string).collect();
                let list = list.join(",");
                let sql = AssertSqlSafe(format!("SELECT {NOW}, {LOCK}"));
                let rows = live.rows(sql, &values![&list]).await?;
                rows.first().ok_or(sqlx::Error::RowNotFound)?.natural(0)?
            }
        };
        let totals = BTreeMap::new();
        Ok(Self { live, now_ms, wrote: false, wake: false, totals })
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.live.dialect()
    }

    pub(super) async fn rows(
        &mut self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        self.live.rows(sql, values).await
    }

    /// How many rows a statement changed.
    pub(super) async fn exec(
        &mut self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<u64, sqlx::Error> {
        let rows = self.live.exec(sql, values).await?;
        self.wrote |= rows > 0;
        Ok(rows)
    }

    /// Changes the totals of a space and of an owner in it.
    pub(super) fn count(&mut self, key: &Key, records: i64, weight: i64) {
        let total = self.totals.entry((key.space.name(), key.owner.clone())).or_default();
        total.0 = total.0.saturating_add(records);
        total.1 = total.1.saturating_add(weight);
    }

    /// Whether listeners are to be woken.
    pub(super) async fn commit(mut self) -> Result<bool, sqlx::Error> {
        self.write_totals().await?;
        self.live.commit().await?;
        Ok(self.wake)
    }

    pub(super) async fn rollback(self) -> Result<(), sqlx::Error> {
        self.live.rollback().await
    }

    async fn write_totals(&mut self) -> Result<(), sqlx::Error> {
        let mut spaces: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for ((space, owner), (records, weight)) in std::mem::take(&mut self.totals) {
            if (records, weight) == (0, 0) {
                continue;
            }
            let all = spaces.entry(space).or_default();
            all.0 = all.0.saturating_add(records);
            all.1 = all.1.saturating_add(weight);
            self.write_total(space, Some(&owner), records, weight).await?;
        }
        for (space, (records, weight)) in spaces {
            self.write_total(space, None, records, weight).await?;
        }
        Ok(())
    }

    async fn write_total(
        &mut self,
        space: &str,
        owner: Option<&str>,
        records: i64,
        weight: i64,
    ) -> Result<(), sqlx::Error> {
        let everyone = Value::Int(i64::from(owner.is_none()));
        let (records_by, weight_by) = (Value::Int(records), Value::Int(weight));
        let name = owner.unwrap_or_default();
        let values = [space.into(), everyone, name.into(), records_by, weight_by];
        self.live.exec(COUNT, &values).await?;
        if records < 0 && owner.is_some() {
            self.live.exec(UNCOUNT, &values![space, name]).await?;
        }
        Ok(())
    }
}

/// The group of keys that this one is in.
pub(super) fn group(key: &Key) -> u32 {
    group_of(key.space, &key.owner, &key.id)
}

fn group_of(space: Space, owner: &str, id: &str) -> u32 {
    // FNV-1a: the same in every process and version.
    let mut hash: u32 = 0x811c_9dc5;
    let parts = [space.name(), "\0", owner, "\0", id];
    for byte in parts.into_iter().flat_map(str::bytes) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash % GROUPS
}
