//! What the engine can be told.

use narrows_types::Limits;
use std::time::Duration;

/// The engine's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// What a run may use. A request can only tighten it.
    pub limits: Limits,
    /// The largest reply budget in bytes that a request may ask for.
    pub output_bytes_max: u64,
    /// Runs under way at once; further ones wait.
    pub runs_parallel: usize,
    /// Runs that may wait; further ones are refused.
    pub runs_waiting: usize,
    /// How long a run waits for the upstreams that it names, and a search for the first tools, while
    /// they are not known yet.
    pub list_wait: Duration,
    /// How long a search that has some tools to search waits for those of further upstreams.
    pub more_wait: Duration,
    /// Bytes of the arguments of one call.
    pub arguments_bytes: usize,
    /// The longest a directly asked call may take.
    pub call_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            output_bytes_max: 64 << 10,
            runs_parallel: 64,
            runs_waiting: 512,
            list_wait: Duration::from_secs(20),
            more_wait: Duration::from_secs(5),
            arguments_bytes: 4 << 20,
            call_wait: Duration::from_mins(2),
        }
    }
}
