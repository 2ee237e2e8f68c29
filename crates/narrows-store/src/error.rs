//! What can go wrong with the store.

use crate::place::Place;
use narrows_types::{Fault, Kind, Origin, Retry};

/// `SQLite`'s primary result codes that mean something to us.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
const NOTADB: u32 = 26;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The configured url is not understood.
    #[error("store url `{url}` is not understood; use sqlite:PATH or sqlite::memory:")]
    Url {
        /// As configured.
        url: String,
    },
    /// The file or its folder cannot be opened or made.
    #[error("cannot open the store {place}: {why}")]
    Open {
        /// Which file.
        place: String,
        /// Why.
        why: String,
    },
    /// The file is damaged or is no database at all.
    #[error("the store {place} is damaged or no database ({why}); move it away to begin anew")]
    Damaged {
        /// Which file.
        place: String,
        /// Why.
        why: String,
    },
    /// The file was written by a newer Narrows.
    #[error("the store {place} has schema {found}, this narrows knows up to {known}; update it")]
    Newer {
        /// Which file.
        place: String,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A limit of what may be stored.
    #[error("{what} is {bytes} bytes; limit {limit} is {allowed}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit's name in the config.
        limit: &'static str,
        /// The limit.
        allowed: u64,
    },
    /// No such artifact: never there, expired, evicted or somebody else's.
    #[error("artifact {id} does not exist or has expired")]
    NoArtifact {
        /// As asked.
        id: String,
    },
    /// Another writer did not finish in time.
    #[error("the store is busy: could not {what} within {waited_s} s")]
    Busy {
        /// What was tried.
        what: &'static str,
        /// How long.
        waited_s: u64,
    },
    /// The system gives no randomness for an id.
    #[error("no randomness from the system: {0}")]
    Random(String),
    /// Anything else the database says.
    #[error("the store {place} failed to {what}: {why}")]
    Failed {
        /// Which file.
        place: String,
        /// What was tried.
        what: &'static str,
        /// What the database says.
        why: String,
    },
}

impl StoreError {
    pub(crate) fn from_sql(place: &Place, what: &'static str, error: &sqlx::Error) -> Self {
        let why = match error {
            sqlx::Error::Database(e) => e.message().to_owned(),
            other => other.to_string(),
        };
        let place = place.to_string();
        match primary_code(error) {
            Some(CORRUPT | NOTADB) => Self::Damaged { place, why },
            Some(BUSY | LOCKED) => Self::Busy { what, waited_s: crate::BUSY_WAIT.as_secs() },
            Some(CANTOPEN | READONLY | FULL) => Self::Open { place, why },
            _ if matches!(error, sqlx::Error::PoolTimedOut) => {
                Self::Busy { what, waited_s: crate::OPERATION_WAIT.as_secs() }
            }
            _ => Self::Failed { place, what, why },
        }
    }
}

/// Whether another connection has the file at the moment.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(BUSY | LOCKED))
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    // The low byte is the primary code; the rest tells more of the same.
    Some(code & 0xff)
}

/// What the agent hears. It never hears where the file lies: the log tells the operator.
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::TooLarge { .. } => {
                Self::new(Kind::Limit, Origin::Agent, error.to_string()).hint("store less")
            }
            StoreError::NoArtifact { .. } => Self::not_found(error.to_string())
                .hint("handles live for a limited time; run the program again"),
            StoreError::Busy { .. } => {
                Self::new(Kind::Unavailable, Origin::Narrows, error.to_string())
                    .retry(Retry::AfterMs(1_000))
            }
            StoreError::Url { .. }
            | StoreError::Open { .. }
            | StoreError::Damaged { .. }
            | StoreError::Newer { .. }
            | StoreError::Random(_)
            | StoreError::Failed { .. } => {
                tracing::error!("{error}");
                Self::new(Kind::Unavailable, Origin::Narrows, "the store does not work now")
                    .hint("the log says why; `narrows doctor` checks it")
            }
        }
    }
}
