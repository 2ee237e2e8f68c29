//! Records and logs.

use super::link::{Again, Arguments, Link};
use super::scripts;
use super::values::{self, Parts};
use crate::backend::{Change, Expect, Key, Range, Record, Space, Total};
use crate::error::StoreError;
use redis::Value;

/// Records that one sweep removes at most.
const SWEEP_MAX: u64 = 1_000;
/// What an answer is that makes no sense.
const STRANGE: &str = "the answer is not understood; is the prefix used by somebody else?";

pub(super) async fn now_ms(link: &Link) -> Result<u64, StoreError> {
    let what = "ask for the time";
    let answer = link.command(what, &redis::cmd("TIME")).await?;
    let time = Parts::of(answer).and_then(|mut parts| Some((parts.number()?, parts.number()?)));
    let (seconds, micros) = time.ok_or_else(|| link.failed(what, STRANGE))?;
    Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
}

pub(super) async fn write(link: &Link, changes: Vec<Change>) -> Result<bool, StoreError> {
    let what = "write records";
    let mut arguments = Arguments::default();
    for change in changes {
        say(&mut arguments, change);
    }
    let answer = link.run(what, Again::Unheard, &scripts::WRITE, arguments).await?;
    match answer {
        Value::Int(made) => Ok(made == 1),
        _ => Err(link.failed(what, STRANGE)),
    }
}

fn say(arguments: &mut Arguments, change: Change) {
    match change {
        Change::Put { record, expect } => {
            head(arguments, "put", &record.key);
            match expect {
                Expect::Any => arguments.word("any"),
                Expect::Absent => arguments.word("absent"),
                Expect::Version(version) => arguments.number(version),
            };
            arguments.number(record.weight).number(record.stamp_ms);
            expiry(arguments, record.expires_ms).bytes(record.body);
        }
        Change::Add { key, weight, stamp_ms } => {
            head(arguments, "add", &key).number(weight).number(stamp_ms);
        }
        Change::Touch { key, stamp_ms, expires_ms } => {
            head(arguments, "touch", &key).number(stamp_ms);
            expiry(arguments, expires_ms);
        }
        Change::Delete { key } => {
            head(arguments, "delete", &key);
        }
        Change::Append { key, from, entries } => {
            head(arguments, "append", &key).number(from).number(entries.len() as u64);
            for entry in entries {
                arguments.bytes(entry);
            }
        }
    }
}

fn head<'a>(arguments: &'a mut Arguments, what: &str, key: &Key) -> &'a mut Arguments {
    arguments.word(what).word(key.space.name()).name(&key.owner).name(&key.id)
}

fn expiry(arguments: &mut Arguments, expires_ms: Option<u64>) -> &mut Arguments {
    match expires_ms {
        Some(at) => arguments.number(at),
        None => arguments.word(""),
    }
}

pub(super) async fn get(link: &Link, key: &Key, now_ms: u64) -> Result<Option<Record>, StoreError> {
    let what = "read a record";
    let Key { space, owner, id } = key;
    let name = format!("{}r:{}:{owner}\0{id}", link.address.prefix, space.name());
    let mut command = redis::cmd("HMGET");
    command.arg(name).arg(&["b", "w", "v", "s", "e"]);
    let answer = link.command(what, &command).await?;
    let strange = || link.failed(what, STRANGE);
    if Parts::of(answer.clone()).and_then(|mut parts| parts.next()) == Some(Value::Nil) {
        return Ok(None);
    }
    let mut parts = Parts::of(answer).ok_or_else(strange)?;
    let record = record(key.clone(), &mut parts).ok_or_else(strange)?;
    Ok(Some(record).filter(|record| record.expires_ms.is_none_or(|at| now_ms < at)))
}

/// Body, weight, version, stamp, expiry.
fn record(key: Key, parts: &mut Parts) -> Option<Record> {
    let mut record = Record {
        key,
        body: parts.bytes()?,
        weight: parts.number()?,
        version: parts.number()?,
        stamp_ms: parts.number()?,
        expires_ms: None,
    };
    let expires = parts.text()?;
    if !expires.is_empty() {
        record.expires_ms = Some(expires.parse().ok()?);
    }
    Some(record)
}

pub(super) async fn list(
    link: &Link,
    range: &Range,
    now_ms: u64,
) -> Result<Vec<Record>, StoreError> {
    let what = "list records";
    let mut found: Vec<Record> = Vec::new();
    let mut from = range.after.as_ref().map(|(stamp_ms, id)| (*stamp_ms, first_bound(range, id)));
    // A script looks at so many records only: a page may take several.
    while found.len() < range.limit {
        let mut arguments = Arguments::default();
        arguments.word(range.space.name());
        whose(&mut arguments, range.owner.as_deref());
        arguments
            .word(if range.oldest_first { "ahead" } else { "back" })
            .number((range.limit - found.len()) as u64)
            .number(now_ms)
            .word(if range.bodies { "1" } else { "0" });
        if let Some((stamp_ms, bound)) = from {
            arguments.number(stamp_ms).bytes(bound);
        }
        let answer = link.run(what, Again::Safe, &scripts::LIST, arguments).await?;
        let part = page(answer, |row| listed(range.space, row));
        let part = part.ok_or_else(|| link.failed(what, STRANGE))?;
        found.extend(part.rows);
        let Some((stamp_ms, mut last)) = part.next else { break };
        if range.oldest_first {
            last.push(0);
        }
        from = Some((stamp_ms, last));
    }
    Ok(found)
}

/// Members are ids, with the owner behind a zero byte if all owners' records stand together. The
/// walk ahead begins at the bound or behind it, the walk back before it.
fn first_bound(range: &Range, id: &str) -> Vec<u8> {
    let mut bound = id.as_bytes().to_vec();
    match (range.oldest_first, &range.owner) {
        (true, Some(_)) => bound.push(0),
        (true, None) => bound.push(1),
        (false, _) => {}
    }
    bound
}

pub(super) fn whose<'a>(arguments: &'a mut Arguments, owner: Option<&str>) -> &'a mut Arguments {
    match owner {
        Some(owner) => arguments.word("one").name(owner),
        None => arguments.word("all").word(""),
    }
}

fn listed(space: Space, row: Value) -> Option<Record> {
    let mut parts = Parts::of(row)?;
    let id = parts.text()?;
    let owner = parts.text()?;
    record(Key { space, owner, id }, &mut parts)
}

/// What a script found and where to go on.
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    pub(super) next: Option<(u64, Vec<u8>)>,
}

pub(super) fn page<T>(answer: Value, row: impl FnMut(Value) -> Option<T>) -> Option<Page<T>> {
    let mut parts = Parts::of(answer)?;
    let stamp = parts.text()?;
    let last = parts.bytes()?;
    let rows = Parts::of(parts.next()?)?.each(row)?;
    let next = if stamp.is_empty() { None } else { Some((stamp.parse().ok()?, last)) };
    Some(Page { rows, next })
}

pub(super) async fn read(
    link: &Link,
    key: &Key,
    from: u64,
    count: u64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let what = "read a log";
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut arguments = Arguments::default();
    arguments.word(key.space.name()).name(&key.owner).name(&key.id);
    arguments.number(from).number(from.saturating_add(count - 1));
    let answer = link.run(what, Again::Safe, &scripts::READ, arguments).await?;
    let entries = Parts::of(answer).and_then(|parts| parts.each(values::bytes));
    entries.ok_or_else(|| link.failed(what, STRANGE))
}

pub(super) async fn total(
    link: &Link,
    space: Space,
    owner: Option<&str>,
) -> Result<Total, StoreError> {
    let what = "count records";
    let mut arguments = Arguments::default();
    whose(arguments.word(space.name()), owner);
    let answer = link.run(what, Again::Safe, &scripts::TOTAL, arguments).await?;
    let total = Parts::of(answer)
        .and_then(|mut parts| Some(Total { records: parts.number()?, weight: parts.number()? }));
    total.ok_or_else(|| link.failed(what, STRANGE))
}

pub(super) async fn sweep(link: &Link, now_ms: u64) -> Result<u64, StoreError> {
    let what = "sweep";
    let mut arguments = Arguments::default();
    arguments.number(now_ms).number(SWEEP_MAX);
    let answer = link.run(what, Again::Safe, &scripts::SWEEP, arguments).await?;
    values::number(answer).ok_or_else(|| link.failed(what, STRANGE))
}
