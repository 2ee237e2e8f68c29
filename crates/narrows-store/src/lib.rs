//! All that outlives a request: artifacts, observed result shapes, the record of runs.
//!
//! SQL is written here and nowhere else. One writer connection and a few readers share one `SQLite`
//! file in WAL mode; several processes may share the file too. Everything stored is bounded: by
//! size, by age and in total.

mod artifact;
mod clock;
mod error;
mod observed;
mod place;
mod run;
mod schema;
mod sweep;
mod usage;

pub use artifact::ArtifactInfo;
pub use clock::Clock;
pub use error::StoreError;
pub use run::RunRecord;
pub use sweep::Swept;

use place::Place;
use sqlx::SqlitePool;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a statement waits for another process's write.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long any single operation may take, waiting for its turn included.
const OPERATION_WAIT: Duration = Duration::from_secs(30);
/// How long opening tries again while another process sets the file up.
const OPEN_WAIT: Duration = Duration::from_secs(10);
const OPEN_PAUSE: Duration = Duration::from_millis(50);
/// Connections that only read.
const READERS: u32 = 4;
/// Bytes of an owner's or a server's or a tool's name.
const NAME_BYTES_MAX: usize = 512;

/// The store's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where: `sqlite:PATH`, or `sqlite::memory:` (also `memory:`) to forget all at the end.
    pub url: String,
    /// Bytes of one artifact.
    pub artifact_bytes_max: u64,
    /// Bytes of all artifacts; beyond it the oldest go.
    pub artifacts_total_bytes_max: u64,
    /// Seconds that an artifact lives.
    pub artifact_ttl_s: u64,
    /// Records of runs that are kept; beyond it the oldest go.
    pub runs_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite::memory:".to_owned(),
            artifact_bytes_max: 32 << 20,
            artifacts_total_bytes_max: 512 << 20,
            artifact_ttl_s: 86_400,
            runs_max: 100_000,
        }
    }
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    clock: Clock,
    place: Place,
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Store {
    /// Opens the store, creating the file (mode 0600, its folder 0700) and bringing its schema up
    /// to date. Fails, naming the path, if the file cannot be opened, is damaged, is no database
    /// or was written by a newer Narrows.
    pub async fn open(config: &Config, clock: impl Into<Clock>) -> Result<Self, StoreError> {
        let place = Place::parse(&config.url)?;
        place.prepare()?;
        let (writer, reader) = match &place {
            Place::Memory => {
                let pool = memory().await.map_err(|e| StoreError::from_sql(&place, "open", &e))?;
                (pool.clone(), pool)
            }
            Place::File(path) => (writer(&place, path).await?, reader(path)),
        };
        let inner = Inner { config: config.clone(), clock: clock.into(), place, writer, reader };
        let store = Self { inner: Arc::new(inner) };
        schema::migrate(&store).await?;
        Ok(store)
    }

    /// Finishes what is under way and closes the file. Later operations fail.
    pub async fn close(&self) {
        self.inner.reader.close().await;
        self.inner.writer.close().await;
    }

    /// Runs one operation under the deadline and names the place in its error.
    async fn within<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(OPERATION_WAIT, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => Err(StoreError::from_sql(&self.inner.place, what, &e)),
            Err(_elapsed) => Err(StoreError::Busy { what, waited_s: OPERATION_WAIT.as_secs() }),
        }
    }

    fn now(&self) -> u64 {
        self.inner.clock.now()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("place", &self.inner.place).finish_non_exhaustive()
    }
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
async fn writer(place: &Place, path: &Path) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_WAIT);
    let until = tokio::time::Instant::now() + OPEN_WAIT;
    loop {
        let error = match one_connection().connect_with(options.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(e) => e,
        };
        if !error::is_busy(&error) || tokio::time::Instant::now() >= until {
            return Err(StoreError::from_sql(place, "open", &error));
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

/// `SQLite` knows signed integers only; no length or time here comes near the difference.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
