//! What the engine can be told.

use crate::cache;
use narrows_catalog::Exposure;
use narrows_types::{BackendKind, Budget, Durability, Limits, Lowered, Mode, Principal};
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
    /// How surely a run's journal is kept, if the run does not say.
    pub durability: Durability,
    /// Bytes of one run's journal.
    pub journal_bytes_max: u64,
    /// Calls that a person must consent to, as `server.tool`, `*` standing for any characters.
    pub approve: Vec<String>,
    /// Calls that may be repeated if nobody knows whether they were carried out, beside those whose
    /// tools say so.
    pub repeat: Vec<String>,
    /// Calls that may not, whatever their tools say.
    pub never_repeat: Vec<String>,
    /// Names of members whose text no journal holds, in lower case, `*` standing for any characters.
    pub redact: Vec<String>,
    /// Sessions, where nothing else is said.
    pub sessions: Sessions,
    /// Who does jobs, and how.
    pub jobs: Jobs,
}

/// Names that secrets usually have.
const REDACT: [&str; 7] = [
    "*password*",
    "*passwd*",
    "*secret*",
    "*api_key*",
    "*apikey*",
    "*access_token*",
    "authorization",
];

/// Sessions, where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// Seconds without use after which one ends.
    pub idle_s: u64,
    /// Seconds after which one ends however it is used.
    pub life_s: u64,
    /// What one may use.
    pub budget: Budget,
}

/// Who does jobs, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jobs {
    /// Jobs that this process does at once; with 0 it does none.
    pub parallel: usize,
    /// Jobs of one tenant that all workers together do at once.
    pub tenant_parallel: u32,
    /// How long a job stays with a worker that is not heard of any more.
    pub lease: Duration,
    /// How often a job is begun, if it does not say.
    pub attempts: u32,
    /// How long one attempt may take.
    pub wall: Duration,
    /// How long jobs under way may go on when Narrows stops; then others go on with them.
    pub drain: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { idle_s: 3_600, life_s: 86_400, budget: Budget::default() }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            parallel: 8,
            tenant_parallel: 64,
            lease: Duration::from_secs(10),
            attempts: 5,
            wall: Duration::from_hours(1),
            drain: Duration::from_secs(20),
        }
    }
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
            durability: Durability::default(),
            journal_bytes_max: 64 << 20,
            approve: Vec::new(),
            repeat: Vec::new(),
            never_repeat: Vec::new(),
            redact: REDACT.map(ToOwned::to_owned).to_vec(),
            sessions: Sessions::default(),
            jobs: Jobs::default(),
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

impl Access {
    /// The key that a principal came in with, if it came in with one.
    fn key_of(&self, principal: &Principal) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == principal.name)
    }

    /// Limits that a principal's runs have lower than others.
    pub(crate) fn lowered(&self, principal: &Principal) -> Lowered {
        self.key_of(principal).map(|key| key.limits.clone()).unwrap_or_default()
    }

    /// Where a principal's programs run, if not where others do.
    pub(crate) fn backend(&self, principal: &Principal) -> Option<BackendKind> {
        self.key_of(principal)?.backend
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
    /// Limits that its holder's runs have lower than others.
    pub limits: Lowered,
    /// Where its holder's programs run, if not where others do.
    pub backend: Option<BackendKind>,
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
