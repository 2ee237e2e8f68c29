//! Reading records, logs and totals.

use super::change::NEVER;
use super::live::{ABOUT_NOW, Dialect, Pools, Row, Value, unwritten, values};
use crate::backend::{Key, Range, Record, Space, Total};
use crate::clock::Clock;
use crate::{signed, unsigned};
use sqlx::AssertSqlSafe;
use std::fmt::Write;

const GET: &str = "SELECT owner, id, weight, version, stamp_ms, expires_ms, body FROM record \
     WHERE space = $1 AND owner = $2 AND id = $3 AND expires_ms > $4";
/// Between its parts stands what time it is.
const READ: [&str; 2] = [
    "SELECT body FROM log WHERE space = $1 AND owner = $2 AND id = $3 AND number >= $4 \
     AND NOT EXISTS (SELECT 1 FROM record WHERE space = $1 AND owner = $2 AND id = $3 \
         AND expires_ms <= ",
    ") ORDER BY number LIMIT $5",
];
const TOTAL: &str =
    "SELECT records, weight FROM total WHERE space = $1 AND everyone = $2 AND owner = $3";
/// The second condition is what the index knows.
const EXPIRED: &str = "SELECT space, owner, id FROM record \
     WHERE expires_ms <= $1 AND expires_ms < 9223372036854775807 ORDER BY expires_ms LIMIT $2";

pub(super) async fn get(
    pools: &Pools,
    key: &Key,
    now_ms: u64,
) -> Result<Option<Record>, sqlx::Error> {
    let values = values![key.space.name(), &key.owner, &key.id, now_ms];
    let rows = pools.rows(GET, &values).await?;
    rows.first().map(|row| record(key.space, row, true)).transpose()
}

pub(super) async fn list(
    pools: &Pools,
    range: &Range,
    now_ms: u64,
) -> Result<Vec<Record>, sqlx::Error> {
    let mut sql = String::from("SELECT owner, id, weight, version, stamp_ms, expires_ms");
    sql.push_str(if range.bodies { ", body" } else { "" });
    sql.push_str(" FROM record WHERE space = $1 AND expires_ms > $2 AND ");
    let mut values = values![range.space.name(), now_ms, range.limit as u64].to_vec();
    if let Some(owner) = &range.owner {
        sql.push_str("owner = $4 AND ");
        values.push(owner.into());
    }
    let (than, way) = if range.oldest_first { (">", "ASC") } else { ("<", "DESC") };
    if let Some((stamp, id)) = &range.after {
        let at = values.len() + 1;
        write!(sql, "(stamp_ms, id) {than} (${at}, ${}) AND ", at + 1).map_err(unwritten)?;
        values.extend(values![*stamp, id]);
    }
    write!(sql, "1 = 1 ORDER BY stamp_ms {way}, id {way} LIMIT $3").map_err(unwritten)?;
    // Only placeholders and our own words were written into it.
    let rows = pools.rows(AssertSqlSafe(sql), &values).await?;
    rows.iter().map(|row| record(range.space, row, range.bodies)).collect()
}

fn record(space: Space, row: &Row, body: bool) -> Result<Record, sqlx::Error> {
    let expires = row.int(5)?;
    Ok(Record {
        key: Key { space, owner: row.text(0)?, id: row.text(1)? },
        body: if body { row.blob(6)? } else { Vec::new() },
        weight: row.natural(2)?,
        version: row.natural(3)?,
        stamp_ms: row.natural(4)?,
        expires_ms: (expires != NEVER).then(|| unsigned(expires)),
    })
}

pub(super) async fn read(
    pools: &Pools,
    clock: &Clock,
    key: &Key,
    (from, count): (u64, u64),
) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    let mut values = values![key.space.name(), &key.owner, &key.id, from, count].to_vec();
    let now = match pools.dialect() {
        Dialect::Lite => {
            values.push(clock.now_ms().into());
            "$6"
        }
        Dialect::Postgres => ABOUT_NOW,
    };
    let [head, tail] = READ;
    // Our own words only.
    let rows = pools.rows(AssertSqlSafe(format!("{head}{now}{tail}")), &values).await?;
    rows.iter().map(|row| row.blob(0)).collect()
}

pub(super) async fn total(
    pools: &Pools,
    space: Space,
    owner: Option<&str>,
) -> Result<Total, sqlx::Error> {
    let everyone = Value::Int(i64::from(owner.is_none()));
    let values = [space.name().into(), everyone, owner.unwrap_or_default().into()];
    let rows = pools.rows(TOTAL, &values).await?;
    let Some(row) = rows.first() else { return Ok(Total::default()) };
    Ok(Total { records: row.natural(0)?, weight: row.natural(1)? })
}

/// Keys of records that have expired.
pub(super) async fn expired(
    pools: &Pools,
    now_ms: u64,
    limit: u64,
) -> Result<Vec<Key>, sqlx::Error> {
    let last = signed(now_ms).min(NEVER - 1);
    let rows = pools.rows(EXPIRED, &[Value::Int(last), limit.into()]).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let name = row.text(0)?;
        // Another version's space is not ours to clear.
        if let Some(space) = Space::ALL.into_iter().find(|s| s.name() == name) {
            keys.push(Key { space, owner: row.text(1)?, id: row.text(2)? });
        }
    }
    Ok(keys)
}
