//! Opening the databases, and what their errors mean.

use super::live::Pools;
use crate::error::StoreError;
use crate::place::Place;
use crate::{BUSY_WAIT, OPERATION_WAIT, Synchronous};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection, PgConnection, PgPool, SqlitePool};
use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// How long opening tries again while another process sets the file up.
const OPEN_WAIT: Duration = Duration::from_secs(10);
const OPEN_PAUSE: Duration = Duration::from_millis(50);
/// Connections to a file that only read.
const READERS: u32 = 4;
/// Connections to a server.
pub(super) const CONNECTIONS: u32 = 12;

/// `SQLite`'s primary result codes that mean something to us.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
const NOTADB: u32 = 26;

/// Opens what lies at `place`.
pub(super) async fn open(
    place: &Place,
    url: &str,
    synchronous: Synchronous,
) -> Result<Pools, StoreError> {
    let failed = |e: sqlx::Error| error(place, "open", &e);
    Ok(match place {
        Place::Memory => {
            let pool = memory().await.map_err(failed)?;
            Pools::Lite { writer: pool.clone(), reader: pool }
        }
        Place::File(path) => {
            let writer = writer(place, path, synchronous).await?;
            Pools::Lite { writer, reader: reader(path) }
        }
        Place::Server(shown) => {
            let options = PgConnectOptions::from_str(url)
                .map_err(|_hidden| StoreError::Url { url: shown.clone() })?;
            Pools::Postgres(server(place, options).await?)
        }
        Place::Redis(shown) => return Err(StoreError::Url { url: shown.clone() }),
    })
}

fn one_connection() -> SqlitePoolOptions {
    // The one writer is never closed for idleness: with an in-memory store it is the store.
    SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(OPERATION_WAIT)
}

async fn memory() -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new().in_memory(true);
    one_connection().connect_with(options).await
}

/// The writer's connection also switches the file to WAL, which fails at once while another
/// process does the same: hence the attempts.
async fn writer(
    place: &Place,
    path: &Path,
    synchronous: Synchronous,
) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match synchronous {
            Synchronous::Normal => SqliteSynchronous::Normal,
            Synchronous::Full => SqliteSynchronous::Full,
        })
        .busy_timeout(BUSY_WAIT);
    let until = tokio::time::Instant::now() + OPEN_WAIT;
    loop {
        let failed = match one_connection().connect_with(options.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(e) => e,
        };
        let busy = matches!(lite_code(&failed), Some(BUSY | LOCKED));
        if !busy || tokio::time::Instant::now() >= until {
            return Err(error(place, "open", &failed));
        }
        tokio::time::sleep(OPEN_PAUSE).await;
    }
}

fn reader(path: &Path) -> SqlitePool {
    let options =
        SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_WAIT);
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(Duration::from_mins(1))
        .test_before_acquire(false)
        .acquire_timeout(OPERATION_WAIT)
        .connect_lazy_with(options)
}

/// Also the server ends what takes too long, and a transaction whose owner hangs.
async fn server(place: &Place, options: PgConnectOptions) -> Result<PgPool, StoreError> {
    let limit = OPERATION_WAIT.as_millis().to_string();
    let name = options.get_application_name().unwrap_or("narrows").to_owned();
    let options = options
        .application_name(&name)
        .options([("statement_timeout", &limit), ("idle_in_transaction_session_timeout", &limit)]);
    let failed = |why: String| StoreError::Open { place: place.to_string(), why };
    // Once without the pool, which would try again for long and then not say why it failed.
    let first = PgConnection::connect_with(&options);
    match tokio::time::timeout(OPEN_WAIT, first).await {
        Ok(Ok(connection)) => connection.close().await.map_err(|e| failed(told(&e)))?,
        Ok(Err(e)) => return Err(failed(told(&e))),
        Err(_elapsed) => return Err(failed(format!("no answer within {} s", OPEN_WAIT.as_secs()))),
    }
    Ok(PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .idle_timeout(Duration::from_mins(5))
        .test_before_acquire(false)
        .acquire_timeout(OPERATION_WAIT)
        .connect_lazy_with(options))
}

/// Another transaction made this one fail; the next attempt may succeed.
pub(super) fn in_the_way(error: &sqlx::Error) -> bool {
    // Of `PostgreSQL`: serialization failure, deadlock.
    matches!(code(error).as_deref(), Some("40001" | "40P01"))
}

/// The connection is gone, and with it what was not committed.
pub(super) fn lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // Of `PostgreSQL`: the server is going away or coming up, and connections that broke.
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            matches!(&*code, "57P01" | "57P02" | "57P03")
                || code.len() == 5 && code.starts_with("08")
        }),
        _ => false,
    }
}

/// What an error of the database means to us.
pub(super) fn error(place: &Place, what: &'static str, error: &sqlx::Error) -> StoreError {
    let why = told(error);
    let shown = place.to_string();
    let busy = |waited: Duration| StoreError::Busy { what, waited_s: waited.as_secs() };
    if matches!(error, sqlx::Error::PoolTimedOut) {
        return busy(OPERATION_WAIT);
    }
    match lite_code(error) {
        Some(CORRUPT | NOTADB) => return StoreError::Damaged { place: shown, why },
        Some(BUSY | LOCKED) => return busy(BUSY_WAIT),
        Some(CANTOPEN | READONLY | FULL) => return StoreError::Open { place: shown, why },
        _ => {}
    }
    match code(error).as_deref() {
        // Of `PostgreSQL`: cancelled for its timeout, lock not available, too many connections.
        Some("57014" | "55P03" | "53300") => busy(OPERATION_WAIT),
        _ => StoreError::Failed { place: shown, what, why },
    }
}

fn told(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => e.message().to_owned(),
        other => other.to_string(),
    }
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(DatabaseError::code)
}

fn lite_code(error: &sqlx::Error) -> Option<u32> {
    let error = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    let code: u32 = error.code()?.parse().ok()?;
    // The low byte is the primary code; the rest tells more of the same.
    Some(code & 0xff)
}
