//! News of jobs over a broker, beside the store's own: `RabbitMQ` (feature `amqp`) or NATS `JetStream`
//! (feature `nats`).
//!
//! A message is a job's id, and a hint: who hears it asks the store, and whoever hears nothing asks
//! the store now and then all the same. So a broker that is down, full or forgetful costs a moment,
//! never a job, and the store opens without it.
//!
//! Whoever makes a job ready or cancels it publishes its id once. It goes two ways:
//! - to **everybody** who listens just then (a fan-out), so that every worker with a free hand is
//!   woken, and the one that has a job hears at once that it was cancelled;
//! - into **one work queue**, from which one listener gets it and keeps it unacknowledged until the
//!   store says that the job is over. Meanwhile it looks at the job now and then, and wakes its
//!   worker whenever the job is ready and nobody has it: after a lost lease, a retry's pause, a
//!   restart in which the fan-out met nobody. If the listener dies the broker gives the id to
//!   another, a limited number of times.
//!
//! Both are bounded by length and age, and named after a secret of the store: stores that share a
//! broker do not hear each other, and nothing has to be agreed on.

#[cfg(any(feature = "amqp", feature = "nats"))]
mod held;
#[cfg(any(feature = "amqp", feature = "nats"))]
mod hub;
#[cfg(not(any(feature = "amqp", feature = "nats")))]
#[path = "wakes/no_hub.rs"]
mod hub;

#[cfg(feature = "amqp")]
mod amqp;
#[cfg(feature = "nats")]
mod nats;
#[cfg(test)]
mod tests;

use crate::backend::Backend;
use crate::error::StoreError;
use crate::place::redacted;
use crate::queue::{NewJob, Outcome, Settle};
use hub::Hub;
use std::sync::Arc;
use tokio::sync::watch;

/// The secret that names what is ours on the broker.
pub(crate) const SECRET: &str = "wakes";
/// Bytes of the secret in a name.
const NAME_BYTES: usize = 8;

/// What speaks to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Amqp,
    Nats,
}

/// Which of them were built.
#[derive(Debug, Clone, Copy)]
struct Built {
    amqp: bool,
    nats: bool,
}

const BUILT: Built = Built { amqp: cfg!(feature = "amqp"), nats: cfg!(feature = "nats") };

/// The kind that a url asks for, if it was built.
fn kind(url: &str, built: Built) -> Result<Kind, StoreError> {
    let unknown = || StoreError::WakesUrl { url: redacted(url) };
    let (scheme, rest) = url.split_once("://").ok_or_else(unknown)?;
    let (kind, feature, is_built) = match scheme {
        "amqp" | "amqps" => (Kind::Amqp, "amqp", built.amqp),
        "nats" | "tls" => (Kind::Nats, "nats", built.nats),
        _ => return Err(unknown()),
    };
    if rest.is_empty() {
        return Err(unknown());
    }
    if is_built { Ok(kind) } else { Err(StoreError::NotBuilt { feature }) }
}

/// Refuses what cannot work, before anything is opened.
pub(crate) fn check(url: &str) -> Result<(), StoreError> {
    hub::check(kind(url, BUILT)?, url)
}

/// News over a broker.
pub(crate) struct Wakes {
    hub: Hub,
}

impl Wakes {
    /// Begins to connect. The broker need not be there.
    pub(crate) fn start(
        url: &str,
        secret: &[u8],
        backend: Arc<dyn Backend>,
    ) -> Result<Self, StoreError> {
        use std::fmt::Write as _;
        let mut name = String::new();
        for byte in secret.iter().take(NAME_BYTES) {
            // A string takes whatever is written to it.
            let _written = write!(name, "{byte:02x}");
        }
        let hub = Hub::start(kind(url, BUILT)?, url, &name, backend)?;
        Ok(Self { hub })
    }

    /// The ids of those that anybody may begin now.
    pub(crate) fn ready(jobs: &[NewJob]) -> Vec<String> {
        let ready = jobs.iter().filter(|job| job.running.is_none() && job.delay_ms == 0);
        ready.map(|job| job.id.clone()).collect()
    }

    /// Tells of jobs that may have become ready, or were cancelled.
    pub(crate) fn tell(&self, ids: impl IntoIterator<Item = String>) {
        for id in ids {
            self.hub.tell(id);
        }
    }

    /// Tells how attempts ended: `ends` before, `heard` after the store knew.
    pub(crate) fn settled(&self, ends: Vec<(String, After)>, heard: &[bool]) {
        for ((id, after), heard) in ends.into_iter().zip(heard) {
            match after {
                After::Over if *heard => self.hub.over(id),
                After::Ready if *heard => self.hub.tell(id),
                _ => {}
            }
        }
    }

    /// Changes when somebody told of a job. Listens from the first call on.
    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.hub.listen()
    }

    /// Tells what is still to be told, for a moment at most.
    pub(crate) async fn close(&self) {
        self.hub.close().await;
    }
}

/// What an attempt's end means to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing comes any more.
    Over,
    /// Somebody may begin it now.
    Ready,
    /// Neither.
    Waits,
}

impl After {
    /// What each of these ends means.
    pub(crate) fn each(ends: &[Settle]) -> Vec<(String, Self)> {
        let after = |end: &Settle| match end.outcome {
            Outcome::Done(_) | Outcome::Cancelled | Outcome::Failed { retry_ms: None, .. } => {
                Self::Over
            }
            // A paused one is ready if it was answered meanwhile.
            Outcome::Released | Outcome::Paused(_) => Self::Ready,
            Outcome::Failed { retry_ms: Some(_), .. } => Self::Waits,
        };
        ends.iter().map(|end| (end.id.clone(), after(end))).collect()
    }
}
