//! All that outlives a request: artifacts, observed result shapes, the record of runs, jobs.
//!
//! SQL is written here and nowhere else. What is stored are records, logs and jobs in one of several
//! back ends (`backend.rs`); what they mean stands in the modules beside it, once. Everything stored
//! is bounded: by size, by age and in total.

mod artifact;
mod backend;
mod clock;
mod error;
mod intent;
mod journal;
mod memory;
mod observed;
mod place;
mod queue;
mod redis;
mod secret;
mod session;
mod sql;
mod sweep;
mod task;
mod usage;
mod wakes;
mod work;

pub use artifact::ArtifactInfo;
pub use clock::Clock;
pub use error::StoreError;
pub use intent::IntentHead;
pub use journal::{Note, RunFound, RunRow};
pub use place::place;
pub use queue::{
    Beat, Claim, Depth, JobFilter, JobRow, JobState, NewJob, Outcome, Pulse, Settle, Taken,
};
pub use session::{SessionFound, SessionRow, ValueName};
pub use sweep::Swept;
pub use work::Schedule;

use backend::Backend;
use place::Place;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use wakes::Wakes;

/// How long a statement waits for another process's write.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long any single operation may take, waiting for its turn included.
const OPERATION_WAIT: Duration = Duration::from_secs(30);
/// Bytes of an owner's or a server's or a tool's name.
const NAME_BYTES_MAX: usize = 512;

/// When a write to a file is safe from a crash of the machine. A crash of the process loses nothing
/// either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// A moment later.
    #[default]
    Normal,
    /// When it is answered.
    Full,
}

/// The store's settings.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Where: `sqlite:PATH`, or `sqlite::memory:` (also `memory:`) to forget all at the end, or
    /// `postgres://USER:PASSWORD@HOST/DATABASE`, or `redis://HOST:PORT`.
    pub url: String,
    /// Of `SQLite`; a server has its own setting.
    pub synchronous: Synchronous,
    /// A broker that carries news of jobs beside the store's own: `amqp://...` or `nats://...`. None
    /// is needed.
    pub wakes: Option<String>,
    /// Bytes of one artifact.
    pub artifact_bytes_max: u64,
    /// Bytes of all artifacts; beyond it the oldest go.
    pub artifacts_total_bytes_max: u64,
    /// Seconds that an artifact lives.
    pub artifact_ttl_s: u64,
    /// Records of runs that are kept; beyond it the oldest go.
    pub runs_max: u64,
    /// Seconds that a run and its journal are kept after they were written last.
    pub run_ttl_s: u64,
    /// Sessions of one principal.
    pub sessions_max: u64,
    /// Bytes of one value of a session, its key included.
    pub value_bytes_max: u64,
    /// Bytes of all values of a session; beyond it those go that were used longest ago.
    pub session_bytes_max: u64,
    /// Values of a session; beyond it those go that were used longest ago.
    pub session_values_max: u64,
    /// Versions of one intent.
    pub intent_versions_max: u32,
    /// Seconds that a job which is over is kept.
    pub job_ttl_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite::memory:".to_owned(),
            synchronous: Synchronous::Normal,
            wakes: None,
            artifact_bytes_max: 32 << 20,
            artifacts_total_bytes_max: 512 << 20,
            artifact_ttl_s: 86_400,
            runs_max: 100_000,
            run_ttl_s: 7 * 86_400,
            sessions_max: 10_000,
            value_bytes_max: 1 << 20,
            session_bytes_max: 16 << 20,
            session_values_max: 10_000,
            intent_versions_max: 1_000,
            job_ttl_s: 7 * 86_400,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &place::redacted(&self.url))
            .field("synchronous", &self.synchronous)
            .field("wakes", &self.wakes.as_deref().map(place::redacted))
            .field("artifact_bytes_max", &self.artifact_bytes_max)
            .field("artifacts_total_bytes_max", &self.artifacts_total_bytes_max)
            .field("artifact_ttl_s", &self.artifact_ttl_s)
            .field("runs_max", &self.runs_max)
            .finish_non_exhaustive()
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
    backend: Arc<dyn Backend>,
    wakes: Option<Wakes>,
}

impl Store {
    /// Opens the store, creating its file (mode 0600, its folder 0700) if it is one, and bringing
    /// its schema up to date. Fails, naming the place, if it cannot be opened, is damaged, is no
    /// database or was written by a newer Narrows.
    pub async fn open(config: &Config, clock: impl Into<Clock>) -> Result<Self, StoreError> {
        let place = Place::parse(&config.url)?;
        if let Some(broker) = &config.wakes {
            wakes::check(broker)?;
        }
        place.prepare()?;
        let clock = clock.into();
        let (url, own) = (&config.url, clock.clone());
        let backend: Arc<dyn Backend> = match &place {
            Place::Memory => Arc::new(memory::Memory::new(move || own.now_ms())),
            Place::Redis(_) => Arc::new(redis::Redis::open(url).await?),
            Place::File(_) | Place::Server(_) => {
                Arc::new(sql::Sql::open(place.clone(), url, own, config.synchronous).await?)
            }
        };
        let inner = Inner { config: config.clone(), clock, place, backend, wakes: None };
        let mut store = Self { inner: Arc::new(inner) };
        if let Some(broker) = &config.wakes {
            let secret = store.secret(wakes::SECRET).await?;
            let wakes = Wakes::start(broker, &secret, Arc::clone(&store.inner.backend))?;
            if let Some(inner) = Arc::get_mut(&mut store.inner) {
                inner.wakes = Some(wakes);
            }
        }
        Ok(store)
    }

    /// Finishes what is under way and closes the store. Later operations fail.
    pub async fn close(&self) {
        if let Some(wakes) = self.wakes() {
            wakes.close().await;
        }
        if let Err(error) = self.backend().close().await {
            tracing::warn!("{error}");
        }
    }

    fn config(&self) -> &Config {
        &self.inner.config
    }

    fn backend(&self) -> &dyn Backend {
        &*self.inner.backend
    }

    fn wakes(&self) -> Option<&Wakes> {
        self.inner.wakes.as_ref()
    }

    /// Unix seconds.
    fn now(&self) -> u64 {
        self.inner.clock.now()
    }

    /// Unix milliseconds.
    fn now_ms(&self) -> u64 {
        self.inner.clock.now_ms()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("place", &self.inner.place).finish_non_exhaustive()
    }
}

/// Refuses a [`Config::wakes`] that cannot work: one that is not understood, or that this Narrows was
/// built without. The broker need not be there.
pub fn check_wakes(url: &str) -> Result<(), StoreError> {
    wakes::check(url)
}

/// Databases know signed integers only; no length or time here comes near the difference.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
