//! What the engine can be told.

use crate::cache;
use narrows_catalog::Exposure;
use narrows_types::{Limits, Mode};
use std::fmt;
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
    /// Requests that are passed on at once; further ones wait. Some wait for people, so these are
    /// many more than runs.
    pub passes_parallel: usize,
    /// How long a run waits for the upstreams that it names, and a search for the first tools, while
    /// they are not known yet.
    pub list_wait: Duration,
    /// How long a search that has some tools to search waits for those of further upstreams.
    pub more_wait: Duration,
    /// Bytes of the arguments of one call.
    pub arguments_bytes: usize,
    /// The longest a directly asked call may take.
    pub call_wait: Duration,
    /// Who sees what.
    pub access: Access,
    /// How upstreams and their tools are named.
    pub exposure: Exposure,
    /// About so many tokens of tools are listed beside `search` and `run` in hybrid mode.
    pub hybrid_tokens: usize,
    /// Items of one page of a list.
    pub page_items: usize,
    /// Which answers are kept.
    pub cache: cache::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            output_bytes_max: 64 << 10,
            runs_parallel: 64,
            runs_waiting: 512,
            passes_parallel: 4_096,
            list_wait: Duration::from_secs(20),
            more_wait: Duration::from_secs(5),
            arguments_bytes: 4 << 20,
            call_wait: Duration::from_mins(2),
            access: Access::default(),
            exposure: Exposure::default(),
            hybrid_tokens: 4_000,
            page_items: 1_000,
            cache: cache::Config::default(),
        }
    }
}

/// Who may come in, and what each sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// What an agent sees of whom nothing else is said.
    pub mode: Mode,
    /// The modes that a client may ask for.
    pub choices: Vec<Mode>,
    /// Whether `mode` can be changed while Narrows runs.
    pub switchable: bool,
    /// By the client's name, `*` standing for any characters; the first that fits counts.
    pub clients: Vec<(String, Mode)>,
    /// With any, whoever has none of them is refused.
    pub keys: Vec<Key>,
}

impl Default for Access {
    /// No keys, code mode, every mode to choose from.
    fn default() -> Self {
        Self {
            mode: Mode::Code,
            choices: vec![Mode::Code, Mode::Hybrid, Mode::Mcp],
            switchable: false,
            clients: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// A key that opens the doors.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The name of whoever holds it.
    pub name: String,
    /// The secret.
    pub secret: String,
    /// What its holder sees, whatever the client asks for.
    pub mode: Option<Mode>,
    /// The upstreams that exist for its holder; all if none are named.
    pub servers: Vec<String>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("mode", &self.mode)
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}
