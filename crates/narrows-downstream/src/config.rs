//! What the doors can be told.

use narrows_types::Mode;
use serde_json::Value;
use std::time::Duration;

/// How long requests under way may take once a client closed its end, or at shutdown. With
/// [`LAST_WORDS`] it is the 10 s after which the binary drops its doors.
pub(crate) const DRAIN: Duration = Duration::from_millis(if cfg!(test) { 1_500 } else { 9_000 });
/// How long it may then take to tell the clients of those that took longer.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

/// The doors' settings and the texts that they show.
#[derive(Debug, Clone)]
pub struct Config {
    /// What an agent reads first in code mode.
    pub instructions: String,
    /// The same in hybrid mode.
    pub hybrid_instructions: String,
    /// The definitions of the tools that an agent sees, in the order in which it sees them.
    pub tools: Vec<Value>,
    /// What a client sees of the upstreams, unless its request says otherwise.
    pub mode: Mode,
    /// The name under which the server introduces itself.
    pub server_name: String,
    /// Its version.
    pub server_version: String,
    /// Values of `Host` that are served, with or without port, beside loopback names; `*` serves
    /// any.
    pub allowed_hosts: Vec<String>,
    /// Values of `Origin` that are served, beside loopback origins; `*` serves any.
    pub allowed_origins: Vec<String>,
    /// Bytes of one message: a line on stdio, a body over HTTP.
    pub body_bytes_max: usize,
    /// Sessions of clients that speak a revision before 2026-07-28 over HTTP. Beyond it the one
    /// ends that was idle longest of those never used or idle for 5 minutes; without such a one a
    /// new session is refused.
    pub sessions_max: usize,
    /// How long such a session lives without a request.
    pub session_ttl: Duration,
    /// How long any one request may take.
    pub request_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instructions: String::new(),
            hybrid_instructions: String::new(),
            tools: Vec::new(),
            mode: Mode::default(),
            server_name: "narrows".to_owned(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_bytes_max: 4 << 20,
            sessions_max: 1_000,
            session_ttl: Duration::from_hours(1),
            request_timeout: Duration::from_mins(5),
        }
    }
}
