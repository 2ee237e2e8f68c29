//! Changes of records and logs, within a lane's transaction.
//!
//! The keys' groups are locked (`SQLite`: the whole file), so what was read stays true until the
//! end.

use super::live::{Pools, Value, parts, places, values};
use super::tx::{Stop, Tx};
use crate::backend::{Change, Expect, Key, Record};
use crate::{signed, unsigned};
use sqlx::AssertSqlSafe;

/// An expiry that never comes.
pub(super) const NEVER: i64 = i64::MAX;

const FIND: &str = "SELECT version, weight, expires_ms FROM record \
     WHERE space = $1 AND owner = $2 AND id = $3";
const INSERT: &str = "INSERT INTO record \
     (space, owner, id, body, weight, version, stamp_ms, expires_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const UPDATE: &str = "UPDATE record SET body = $4, weight = $5, version = $6, stamp_ms = $7, \
     expires_ms = $8 WHERE space = $1 AND owner = $2 AND id = $3";
const ADD: &str = "UPDATE record SET weight = weight + $4, stamp_ms = $5 \
     WHERE space = $1 AND owner = $2 AND id = $3";
const TOUCH: &str = "UPDATE record SET stamp_ms = $4, expires_ms = $5 \
     WHERE space = $1 AND owner = $2 AND id = $3 AND expires_ms > $6";
const DELETE: &str =
    "DELETE FROM record WHERE space = $1 AND owner = $2 AND id = $3 RETURNING weight";
const DELETE_LOG: &str = "DELETE FROM log WHERE space = $1 AND owner = $2 AND id = $3";
const LENGTH: &str = "SELECT coalesce(max(number) + 1, 0) FROM log \
     WHERE space = $1 AND owner = $2 AND id = $3";

/// Entries of an append in one statement by itself: few sizes, so that few statements are prepared.
const ALONE_MAX: usize = 4;

/// What is there before a change.
struct Old {
    version: u64,
    weight: i64,
    lives: bool,
}

/// Makes all changes; `false`, or [`Stop::Undo`] if some were made already, when one's expectation
/// fails.
pub(super) async fn write(tx: &mut Tx, changes: &[Change]) -> Result<bool, Stop> {
    for change in changes {
        let made = match change {
            Change::Put { record, expect } => put(tx, record, *expect).await?,
            Change::Add { key, weight, stamp_ms } => add(tx, key, *weight, *stamp_ms).await?,
            Change::Touch { key, stamp_ms, expires_ms } => {
                touch(tx, key, *stamp_ms, *expires_ms).await?
            }
            Change::Delete { key } => delete(tx, key).await?,
            Change::Append { key, from, entries } => append(tx, key, *from, entries).await?,
        };
        if !made {
            return if tx.wrote { Err(Stop::Undo) } else { Ok(false) };
        }
    }
    Ok(true)
}

/// Removes those of these records that have expired, and tells how many.
pub(super) async fn expire(tx: &mut Tx, keys: &[Key], now_ms: u64) -> Result<u64, Stop> {
    let mut gone = 0;
    for key in keys {
        let rows = tx.rows(FIND, &at(key)).await?;
        let Some(row) = rows.first() else { continue };
        if row.int(2)? <= signed(now_ms) {
            delete(tx, key).await?;
            gone += 1;
        }
    }
    Ok(gone)
}

fn at(key: &Key) -> [Value<'_>; 3] {
    values![key.space.name(), &key.owner, &key.id]
}

fn until(expires_ms: Option<u64>) -> Value<'static> {
    Value::Int(expires_ms.map_or(NEVER, signed))
}

async fn old(tx: &mut Tx, key: &Key) -> Result<Option<Old>, sqlx::Error> {
    let rows = tx.rows(FIND, &at(key)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let lives = row.int(2)? > signed(tx.now_ms);
    Ok(Some(Old { version: row.natural(0)?, weight: row.int(1)?, lives }))
}

async fn put(tx: &mut Tx, record: &Record, expect: Expect) -> Result<bool, sqlx::Error> {
    let key = &record.key;
    let old = old(tx, key).await?;
    let version = old.as_ref().filter(|o| o.lives).map(|o| o.version);
    let holds = match expect {
        Expect::Any => true,
        Expect::Absent => version.is_none(),
        Expect::Version(wanted) => version == Some(wanted),
    };
    if !holds {
        return Ok(false);
    }
    // A record that comes after an expired one finds nothing of it.
    if old.as_ref().is_some_and(|o| !o.lives) {
        tx.exec(DELETE_LOG, &at(key)).await?;
    }
    write_record(tx, record, version.unwrap_or(0) + 1, old.as_ref()).await?;
    Ok(true)
}

/// Writes a record in the place of an old one, if there is one, expired or not.
async fn write_record(
    tx: &mut Tx,
    record: &Record,
    version: u64,
    old: Option<&Old>,
) -> Result<(), sqlx::Error> {
    let [space, owner, id] = at(&record.key);
    let [body, weight, version, stamp] =
        values![&record.body, record.weight, version, record.stamp_ms];
    let values = [space, owner, id, body, weight, version, stamp, until(record.expires_ms)];
    tx.exec(if old.is_some() { UPDATE } else { INSERT }, &values).await?;
    let before = old.map_or(0, |o| o.weight);
    let more = signed(record.weight).saturating_sub(before);
    tx.count(&record.key, i64::from(old.is_none()), more);
    Ok(())
}

async fn add(tx: &mut Tx, key: &Key, weight: u64, stamp_ms: u64) -> Result<bool, sqlx::Error> {
    let old = old(tx, key).await?;
    if old.as_ref().is_some_and(|o| o.lives) {
        let [space, owner, id] = at(key);
        tx.exec(ADD, &[space, owner, id, weight.into(), stamp_ms.into()]).await?;
        tx.count(key, 0, signed(weight));
        return Ok(true);
    }
    if old.is_some() {
        tx.exec(DELETE_LOG, &at(key)).await?;
    }
    let key = key.clone();
    let new = Record { key, body: Vec::new(), weight, version: 0, stamp_ms, expires_ms: None };
    write_record(tx, &new, 1, old.as_ref()).await?;
    Ok(true)
}

async fn touch(
    tx: &mut Tx,
    key: &Key,
    stamp_ms: u64,
    expires_ms: Option<u64>,
) -> Result<bool, sqlx::Error> {
    let [space, owner, id] = at(key);
    let now = tx.now_ms.into();
    tx.exec(TOUCH, &[space, owner, id, stamp_ms.into(), until(expires_ms), now]).await?;
    Ok(true)
}

async fn delete(tx: &mut Tx, key: &Key) -> Result<bool, sqlx::Error> {
    let rows = tx.rows(DELETE, &at(key)).await?;
    if let Some(row) = rows.first() {
        tx.wrote = true;
        let weight = row.int(0)?;
        tx.count(key, -1, weight.saturating_neg());
    }
    tx.exec(DELETE_LOG, &at(key)).await?;
    Ok(true)
}

/// An append that is all there is to do, in one statement; none where it takes a transaction.
pub(super) async fn append_alone(
    pools: &Pools,
    changes: &[Change],
) -> Option<Result<bool, sqlx::Error>> {
    let [Change::Append { key, from, entries }] = changes else { return None };
    if entries.is_empty() || entries.len() > ALONE_MAX {
        return None;
    }
    let mut values = at(key).to_vec();
    values.push(Value::from(*from));
    for (number, entry) in (*from..).zip(entries) {
        values.extend([Value::from(number), entry.into()]);
    }
    let places = places(4, entries.len(), 2);
    let sql = format!(
        "INSERT INTO log (space, owner, id, number, body) \
         SELECT $1, $2, $3, column1, column2 FROM (VALUES {places}) WHERE ({LENGTH}) = $4"
    );
    // Only placeholders were written into it.
    let written = pools.alone(AssertSqlSafe(sql), &values).await?;
    Some(written.map(|rows| rows > 0))
}

async fn append(
    tx: &mut Tx,
    key: &Key,
    from: u64,
    entries: &[Vec<u8>],
) -> Result<bool, sqlx::Error> {
    let rows = tx.rows(LENGTH, &at(key)).await?;
    let length = rows.first().ok_or(sqlx::Error::RowNotFound)?.int(0)?;
    if unsigned(length) != from {
        return Ok(false);
    }
    let mut number = from;
    for part in parts(entries) {
        let mut values = Vec::with_capacity(part.len() * 5);
        for entry in part {
            values.extend(at(key));
            values.extend([Value::from(number), entry.into()]);
            number += 1;
        }
        let places = places(0, part.len(), 5);
        let sql = format!("INSERT INTO log (space, owner, id, number, body) VALUES {places}");
        // Only placeholders were written into it.
        tx.exec(AssertSqlSafe(sql), &values).await?;
    }
    Ok(true)
}
