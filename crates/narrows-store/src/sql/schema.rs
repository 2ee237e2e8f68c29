//! The schemas and their versions.
//!
//! Each migration runs in one transaction together with its version mark, so any number of processes
//! may open a new store at once: the first writes, the others find it done.

use super::Core;
use super::live::{Dialect, Live, values};
use crate::error::StoreError;
use sqlx::AssertSqlSafe;

/// The n-th entry leads from version n to n + 1. Never edit an entry that was released.
const LITE: &[&str] = &[
    include_str!("../../migrations/0001_first.sql"),
    include_str!("../../migrations/0002_usage.sql"),
    include_str!("../../migrations/0003_records.sql"),
];
const POSTGRES: &[&str] = &[include_str!("../../migrations/postgres/0001_first.sql")];

/// One process at a time, and a table for the mark.
const PREPARE: &str = "SELECT pg_advisory_xact_lock(hashtext('narrows_schema'), \
         hashtext(current_schema()))::text; \
     CREATE TABLE IF NOT EXISTS narrows_schema (version BIGINT NOT NULL)";
const VERSION: &str = "SELECT coalesce(max(version), 0) FROM narrows_schema";

pub(super) async fn migrate(core: &Core) -> Result<(), StoreError> {
    let steps = match core.pools.dialect() {
        Dialect::Lite => LITE,
        Dialect::Postgres => POSTGRES,
    };
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let found = core.within("bring the schema up to date", bring_up(core, steps)).await?;
    if found > known {
        return Err(StoreError::Newer { place: core.place.to_string(), found, known });
    }
    Ok(())
}

/// The version that the place had or has now.
async fn bring_up(core: &Core, steps: &[&'static str]) -> Result<u32, sqlx::Error> {
    let mut live = core.pools.begin().await?;
    let found = version(&mut live).await?;
    let mut version = found;
    for sql in steps.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        live.script(*sql).await?;
        version += 1;
    }
    if version > found {
        mark(&mut live, version).await?;
    }
    live.commit().await?;
    Ok(version)
}

async fn version(live: &mut Live) -> Result<u32, sqlx::Error> {
    let sql = match live.dialect() {
        Dialect::Lite => "PRAGMA user_version",
        Dialect::Postgres => {
            live.script(PREPARE).await?;
            VERSION
        }
    };
    let rows = live.rows(sql, &[]).await?;
    let version = rows.first().ok_or(sqlx::Error::RowNotFound)?.int(0)?;
    Ok(u32::try_from(version).unwrap_or(u32::MAX))
}

async fn mark(live: &mut Live, version: u32) -> Result<(), sqlx::Error> {
    match live.dialect() {
        // A pragma takes no bound values; this one is our own number.
        Dialect::Lite => {
            live.script(AssertSqlSafe(format!("PRAGMA user_version = {version}"))).await
        }
        Dialect::Postgres => live
            .exec("INSERT INTO narrows_schema (version) VALUES ($1)", &values![version])
            .await
            .map(drop),
    }
}
