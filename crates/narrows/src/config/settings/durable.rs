//! What outlives a request: the store, runs, sessions, jobs.

use super::super::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a write to a file is safe from a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Synchronous {
    /// A moment later.
    #[default]
    Normal,
    /// When it is answered.
    Full,
}

/// Where results, journals, sessions, intents and jobs are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// `sqlite:PATH`; `memory:` to forget all at the end; `postgres://USER:PASSWORD@HOST/DATABASE`;
    /// `redis://HOST:PORT` or `rediss://`, with `?prefix=NAME` for a part of the server. Default:
    /// `narrows/narrows.db` in the user's data folder.
    // It may hold a password, and is therefore never written anywhere.
    #[serde(skip_serializing)]
    #[schemars(with = "String")]
    pub(crate) url: Secret,
    /// Of `sqlite:`: when a write is safe from a crash of the machine. A crash of Narrows loses
    /// nothing either way; a server has its own setting.
    pub(crate) synchronous: Synchronous,
    /// Bytes of one kept result.
    #[schemars(range(min = 1))]
    pub(crate) artifact_bytes_max: u64,
    /// Bytes of all kept results; beyond it the oldest go.
    #[schemars(range(min = 1))]
    pub(crate) artifacts_total_bytes_max: u64,
    /// Seconds that a kept result lives.
    #[schemars(range(min = 1))]
    pub(crate) artifact_ttl_s: u64,
    /// Records of runs that are kept.
    pub(crate) runs_max: u64,
    /// Seconds that a run and its journal are kept after they were written last.
    #[schemars(range(min = 1))]
    pub(crate) run_ttl_s: u64,
    /// Sessions of one principal.
    #[schemars(range(min = 1))]
    pub(crate) sessions_max: u64,
    /// Bytes of one value of a session, its key included.
    #[schemars(range(min = 1))]
    pub(crate) value_bytes_max: u64,
    /// Bytes of all values of a session; beyond it those go that were used longest ago.
    #[schemars(range(min = 1))]
    pub(crate) session_bytes_max: u64,
    /// Values of a session; beyond it those go that were used longest ago.
    #[schemars(range(min = 1))]
    pub(crate) session_values_max: u64,
    /// Versions of one intent.
    #[schemars(range(min = 1))]
    pub(crate) intent_versions_max: u32,
    /// Seconds that a job which is over is kept.
    #[schemars(range(min = 1))]
    pub(crate) job_ttl_s: u64,
}

impl Default for Store {
    fn default() -> Self {
        let of = narrows_store::Config::default();
        Self {
            url: Secret::default(),
            synchronous: Synchronous::Normal,
            artifact_bytes_max: of.artifact_bytes_max,
            artifacts_total_bytes_max: of.artifacts_total_bytes_max,
            artifact_ttl_s: of.artifact_ttl_s,
            runs_max: of.runs_max,
            run_ttl_s: of.run_ttl_s,
            sessions_max: of.sessions_max,
            value_bytes_max: of.value_bytes_max,
            session_bytes_max: of.session_bytes_max,
            session_values_max: of.session_values_max,
            intent_versions_max: of.intent_versions_max,
            job_ttl_s: of.job_ttl_s,
        }
    }
}

/// How surely a run's journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// Not at all: a run that is interrupted is lost, and none can pause.
    Off,
    /// Behind the run: a crash of Narrows may lose its last moments.
    #[default]
    Async,
    /// Each call is written down before it is made: no completed call is ever repeated.
    Sync,
}

impl From<Durability> for narrows_types::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Off => Self::Off,
            Durability::Async => Self::Async,
            Durability::Sync => Self::Sync,
        }
    }
}

/// How surely runs are kept, and which of their calls are special.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Runs {
    /// How surely a run's journal is kept, if the run does not say; that of a job is `sync`.
    pub(crate) durability: Durability,
    /// Bytes of one run's journal. Of a run that needs more, nothing more is kept; with `sync` it
    /// ends.
    #[schemars(range(min = 4_096, max = 1_073_741_824))]
    pub(crate) journal_bytes_max: u64,
    /// Calls for which a run waits until a person agrees, as `server.tool`; `*` stands for any
    /// characters.
    pub(crate) approve: Vec<String>,
    /// Calls, written the same way, that may be made again if nobody knows whether they were carried
    /// out, beside those whose tools say so (`readOnlyHint`, `idempotentHint`).
    pub(crate) repeat: Vec<String>,
    /// Calls that may not, whatever their tools and `repeat` say.
    pub(crate) never_repeat: Vec<String>,
    /// Names of members whose text no journal holds, in lower case, `*` standing for any
    /// characters; beside what a tool's schema marks (`format: password`, `writeOnly`).
    pub(crate) redact: Vec<String>,
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            durability: Durability::Async,
            journal_bytes_max: narrows_engine::Config::default().journal_bytes_max,
            approve: Vec::new(),
            repeat: Vec::new(),
            never_repeat: Vec::new(),
            redact: narrows_engine::Config::default().redact,
        }
    }
}

/// What a session may use, where it says nothing itself. A budget of 0 is without a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sessions {
    /// Seconds without use after which it ends.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(crate) idle_s: u64,
    /// Seconds after which it ends however it is used.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(crate) life_s: u64,
    /// Tool calls of all its runs.
    pub(crate) calls: u64,
    /// Milliseconds of all its runs.
    pub(crate) ms: u64,
    /// Bytes of results that tools gave.
    pub(crate) bytes: u64,
    /// Tokens of replies to the agent, about.
    pub(crate) tokens: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        let of = narrows_engine::Sessions::default();
        let (idle_s, life_s, budget) = (of.idle_s, of.life_s, of.budget);
        let narrows_types::Budget { calls, ms, bytes, tokens } = budget;
        Self { idle_s, life_s, calls, ms, bytes, tokens }
    }
}

/// Who does jobs, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Jobs {
    /// A broker that carries news of jobs beside the store: `amqp://USER:PASSWORD@HOST/VHOST`
    /// (RabbitMQ) or `nats://USER:PASSWORD@HOST` (with JetStream), where Narrows was built with the
    /// feature `amqp` or `nats`. Without it, or while it is away, the store's own news do.
    // It may hold a password, and is therefore never written anywhere.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub(crate) wakes: Option<Secret>,
    /// Jobs that `narrows serve` or `narrows worker` does at once; 0 for none, where others do them.
    #[schemars(range(max = 10_000))]
    pub(crate) workers: u64,
    /// Jobs of one principal that all processes together do at once.
    #[schemars(range(min = 1))]
    pub(crate) tenant_parallel: u32,
    /// Milliseconds that a job stays with a process that is not heard of any more.
    #[schemars(range(min = 1_000, max = 600_000))]
    pub(crate) lease_ms: u64,
    /// How often a job is begun at most, if it does not say.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) attempts: u32,
    /// Milliseconds that one attempt may take.
    #[schemars(range(min = 1_000, max = 604_800_000))]
    pub(crate) wall_ms: u64,
    /// Milliseconds that jobs under way may go on when Narrows stops; then they are given back, and
    /// another process goes on with them.
    #[schemars(range(max = 600_000))]
    pub(crate) drain_ms: u64,
}

impl Default for Jobs {
    fn default() -> Self {
        let of = narrows_engine::Jobs::default();
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            wakes: None,
            workers: u64::try_from(of.parallel).unwrap_or(u64::MAX),
            tenant_parallel: of.tenant_parallel,
            lease_ms: ms(of.lease),
            attempts: of.attempts,
            wall_ms: ms(of.wall),
            drain_ms: ms(of.drain),
        }
    }
}
