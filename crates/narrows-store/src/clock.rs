//! The wall clock: an effect, so it is handed in.

use std::fmt;
use std::sync::Arc;

/// Tells the time since 1970.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock of one's own that tells seconds.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::millis(move || now().saturating_mul(1_000))
    }

    /// A clock of one's own that tells milliseconds.
    pub fn millis(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The machine's clock.
    pub fn system() -> Self {
        Self::millis(system_millis)
    }

    /// Unix seconds now.
    pub fn now(&self) -> u64 {
        self.now_ms() / 1_000
    }

    /// Unix milliseconds now.
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl From<fn() -> u64> for Clock {
    fn from(now: fn() -> u64) -> Self {
        Self::new(now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the store reads the clock")]
fn system_millis() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
