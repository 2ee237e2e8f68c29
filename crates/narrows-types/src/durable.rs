//! What outlives a request: sessions, paused runs, jobs, intents. The words that doors and the
//! engine share; how they are kept is the store's.

mod intent;
mod job;

pub use intent::{Intent, IntentInfo, IntentTest, IntentsAsk};
pub use job::{JobInfo, JobOptions, JobWork, JobsAsk};

use crate::id::{JobId, RunId, SessionId};
use crate::report::LogLine;
use crate::tool::Language;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;

/// How surely a run's journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Not at all: a run that is interrupted is lost, and none can pause.
    Off,
    /// Behind the run: a crash of Narrows may lose its last moments.
    #[default]
    Async,
    /// Each call is written down before it is made: no completed call is ever repeated.
    Sync,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Async => "async",
            Self::Sync => "sync",
        })
    }
}

/// Why a run asks somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AskedKind {
    /// The program called `ask`.
    Ask,
    /// An upstream asked while a call was under way (elicitation).
    Elicit,
    /// The policy wants a person's consent to a call.
    Approve,
    /// Nobody knows whether a call was carried out: retry it, treat it as done, or fail it.
    Unknown,
}

/// A question that a paused run waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Tells it apart within its run: `q3`.
    pub id: String,
    /// Why it is asked.
    pub kind: AskedKind,
    /// The call that it is about, `server.tool`; empty for `ask`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The question, for a person (untrusted text).
    pub message: String,
    /// JSON Schema of the answer's content: an object with flat members, as elicitation has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Box<RawValue>>,
}

/// What somebody did with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Answered it.
    #[default]
    Accept,
    /// Said no.
    Decline,
    /// Went away without a choice.
    Cancel,
}

/// The answer to one question of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The question's id. May be empty where only one is open.
    #[serde(default)]
    pub id: String,
    /// What was done with it.
    #[serde(default)]
    pub action: Action,
    /// With `accept`: what the question's schema asks for.
    #[serde(default)]
    pub content: Option<Box<RawValue>>,
    /// The agent's own words: it cannot consent in a person's place.
    #[serde(skip)]
    pub by_agent: bool,
}

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It runs, or the process that ran it died: `narrows resume` tells which.
    Running,
    /// It waits for answers.
    Paused,
    /// It returned a value.
    Returned,
    /// It threw.
    Threw,
    /// The check refused it.
    Rejected,
    /// It reached a limit.
    Limit,
    /// It waited for nothing.
    Deadlock,
    /// Its worker was lost.
    Lost,
    /// Its journal no longer fits its program.
    Diverged,
    /// Somebody cancelled its job.
    Cancelled,
}

impl RunState {
    /// Its name in the store and outside.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Returned => "returned",
            Self::Threw => "threw",
            Self::Rejected => "rejected",
            Self::Limit => "limit",
            Self::Deadlock => "deadlock",
            Self::Lost => "lost",
            Self::Diverged => "diverged",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        const ALL: [RunState; 10] = [
            RunState::Running,
            RunState::Paused,
            RunState::Returned,
            RunState::Threw,
            RunState::Rejected,
            RunState::Limit,
            RunState::Deadlock,
            RunState::Lost,
            RunState::Diverged,
            RunState::Cancelled,
        ];
        ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What is asked of the record of runs.
#[derive(Debug, Clone)]
pub enum RunsAsk {
    /// The last ones, newest first.
    List {
        /// At most so many.
        limit: usize,
        /// Only those in this state.
        state: Option<RunState>,
    },
    /// One with its whole journal.
    Show {
        /// Which.
        run: RunId,
    },
    /// Executes a program against the journal of a run; no upstream is asked.
    Replay {
        /// Whose journal.
        run: RunId,
        /// Another program than the run's own.
        code: Option<String>,
    },
}

/// What is known of a run at a glance.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunInfo {
    /// Which.
    pub run: RunId,
    /// Where it is.
    pub state: RunState,
    /// The program's language.
    pub language: Language,
    /// Unix milliseconds when it began.
    pub started_at_ms: u64,
    /// Microseconds that it was under way, pauses left out.
    pub wall_us: u64,
    /// Tool calls that were answered.
    pub calls: u32,
    /// How often it was begun or resumed.
    pub executions: u32,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Asked>,
}

/// A run with its journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// At a glance.
    #[serde(flatten)]
    pub info: RunInfo,
    /// How surely its journal was kept.
    pub durability: Durability,
    /// The program.
    pub code: String,
    /// Its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// Its calls, in the order in which they were made.
    pub calls_made: Vec<CallView>,
    /// Its log lines.
    pub logs: Vec<LogLine>,
}

/// One call of a run, as its journal has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    /// Its number in the run, from 1.
    pub number: u32,
    /// The upstream as the program wrote it; `narrows` for what Narrows answers itself.
    pub server: String,
    /// The tool as the program wrote it.
    pub tool: String,
    /// Its arguments, secrets redacted.
    pub arguments: Box<RawValue>,
    /// Microseconds from the run's begin to the call.
    pub start_us: u64,
    /// Microseconds that it took; none while it has no outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// Bytes of the outcome.
    pub bytes: u64,
    /// Whether it succeeded; none while it has no outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// Its outcome as JSON, cut if it is long.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
}

/// What a replay did, beside the run that it replays.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// The end of the replay, as text for a reader.
    pub text: String,
    /// Whether it ended as the run did, with the same value.
    pub same: bool,
    /// What differs: one line each, `+` for a call that only the replay wants, `-` for one that only
    /// the run made.
    pub differences: Vec<String>,
}

/// What a session may use in all; 0 is without a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Budget {
    /// Tool calls.
    pub calls: u64,
    /// Milliseconds of runs.
    pub ms: u64,
    /// Bytes of results that tools gave.
    pub bytes: u64,
    /// Tokens of replies to the agent, about.
    pub tokens: u64,
}

/// A session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// Its handle.
    pub session: SessionId,
    /// Unix milliseconds when it was made.
    pub created_at_ms: u64,
    /// Unix milliseconds when it was used last.
    pub used_at_ms: u64,
    /// Unix milliseconds when it ends, if it is not used before.
    pub expires_at_ms: u64,
    /// What it may use.
    pub budget: Budget,
    /// What it has used.
    pub used: Budget,
    /// Values that it keeps.
    pub values: u64,
    /// Bytes of them.
    pub value_bytes: u64,
    /// Its last runs, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunId>,
}

/// What is asked of sessions.
#[derive(Debug, Clone)]
pub enum SessionsAsk {
    /// A new one.
    Create {
        /// Seconds without use after which it ends; the config's by default.
        idle_s: Option<u64>,
        /// Seconds after which it ends however it is used; the config's by default.
        life_s: Option<u64>,
        /// What it may use; the config's by default.
        budget: Option<Budget>,
    },
    /// All of the principal's.
    List,
    /// One.
    Show {
        /// Which.
        session: SessionId,
    },
    /// Ends one; its values go, its runs stay.
    Delete {
        /// Which.
        session: SessionId,
    },
}
