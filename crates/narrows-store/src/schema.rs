//! The schema and its versions.
//!
//! Each migration runs in one immediate transaction together with its version mark, so any number
//! of processes may open a new file at once: the first writes, the others find it done.

use crate::Store;
use crate::error::StoreError;

/// The n-th entry leads from version n to n + 1. Never edit an entry that was released.
const MIGRATIONS: [&str; 2] =
    [include_str!("../migrations/0001_first.sql"), include_str!("../migrations/0002_usage.sql")];

pub(crate) async fn migrate(store: &Store) -> Result<(), StoreError> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let found = store.within("bring the schema up to date", bring_up(store)).await?;
    if found > known {
        let place = store.inner.place.to_string();
        return Err(StoreError::Newer { place, found, known });
    }
    Ok(())
}

/// The version that the file had or has now.
async fn bring_up(store: &Store) -> Result<u32, sqlx::Error> {
    let mut tx = store.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
    let found: u32 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await?;
    let missing = MIGRATIONS.iter().skip(found as usize);
    let mut version = found;
    for sql in missing {
        sqlx::raw_sql(*sql).execute(&mut *tx).await?;
        version += 1;
        // A pragma takes no bound values; this one is our own number.
        let mark = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"));
        sqlx::raw_sql(mark).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(version)
}
