//! What can go wrong with the store.

use narrows_types::{Fault, Kind, Origin, Retry};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The configured url is not understood.
    #[error(
        "store url `{url}` is not understood; use sqlite:PATH, sqlite::memory: or \
         postgres://USER@HOST/DATABASE"
    )]
    Url {
        /// As configured.
        url: String,
    },
    /// The configured broker's url is not understood.
    #[error(
        "wakes url `{url}` is not understood; use amqp://USER:PASSWORD@HOST/VHOST or \
         nats://USER:PASSWORD@HOST"
    )]
    WakesUrl {
        /// As configured, without its secrets.
        url: String,
    },
    /// A broker that this Narrows cannot speak to.
    #[error(
        "this narrows was built without the cargo feature `{feature}`: build it with \
         `--features {feature}`, or remove `wakes`: the store has news of its own"
    )]
    NotBuilt {
        /// What it would need.
        feature: &'static str,
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
    /// No such thing: never there, expired, or somebody else's.
    #[error("{what} {id} does not exist or has expired")]
    NoSuch {
        /// What.
        what: &'static str,
        /// As asked.
        id: String,
    },
    /// There may be no more of them.
    #[error("{what} is {count}; limit {limit} is {allowed}")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many there are.
        count: u64,
        /// The limit's name in the config.
        limit: &'static str,
        /// The limit.
        allowed: u64,
    },
    /// What was stored is not understood.
    #[error("{what} is unreadable: {why}; it was written by another version of narrows")]
    Unreadable {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
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

/// What the agent hears. It never hears where the file lies: the log tells the operator.
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::TooLarge { .. } => {
                Self::new(Kind::Limit, Origin::Agent, error.to_string()).hint("store less")
            }
            StoreError::NoArtifact { .. } => Self::not_found(error.to_string())
                .hint("handles live for a limited time; run the program again"),
            StoreError::NoSuch { .. } => Self::not_found(error.to_string()),
            StoreError::TooMany { .. } => Self::new(Kind::Limit, Origin::Agent, error.to_string())
                .hint("delete some that are not needed"),
            StoreError::Busy { .. } => {
                Self::new(Kind::Unavailable, Origin::Narrows, error.to_string())
                    .retry(Retry::AfterMs(1_000))
            }
            StoreError::Url { .. }
            | StoreError::WakesUrl { .. }
            | StoreError::NotBuilt { .. }
            | StoreError::Open { .. }
            | StoreError::Damaged { .. }
            | StoreError::Newer { .. }
            | StoreError::Unreadable { .. }
            | StoreError::Random(_)
            | StoreError::Failed { .. } => {
                tracing::error!("{error}");
                Self::new(Kind::Unavailable, Origin::Narrows, "the store does not work now")
                    .hint("the log says why; `narrows doctor` checks it")
            }
        }
    }
}
