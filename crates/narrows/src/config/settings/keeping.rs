//! How a server is kept up, and how much of it is used at once.

use schemars::JsonSchema;
use serde::Deserialize;

/// What kind of work a server does: its deadlines and how many calls it takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    /// Answers at once: 15 s a call, 256 calls at once.
    Fast,
    /// Takes a moment: 60 s a call, 128 calls at once.
    #[default]
    Medium,
    /// Works hard, for long: 10 min a call, 8 calls at once.
    Heavy,
}

/// The processes of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pool {
    /// Kept once the server is used; further ones end when nobody uses them.
    pub(crate) min: u64,
    /// At most so many.
    #[schemars(range(min = 1))]
    pub(crate) max: u64,
    /// The server remembers what it was asked: each session has a process of its own.
    pub(crate) stateful: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Self { min: 0, max: 1, stateful: false }
    }
}
