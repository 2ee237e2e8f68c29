//! What goes out: one `Answer` for every door.

use crate::content::ToolResult;
use crate::durable::{IntentInfo, JobInfo, Replayed, RunInfo, RunView, SessionInfo};
use crate::id::ArtifactId;
use crate::pass::{Listed, Passed};
use crate::report::{LogLine, RunReport};
use crate::tool::ServerListing;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer to an [`Ask`](crate::ask::Ask), one variant for each [`What`](crate::ask::What).
#[derive(Debug, Clone)]
pub enum Answer {
    /// To `Run`.
    Run(Box<RunReport>),
    /// To `Search`.
    Search(SearchAnswer),
    /// To `Call`.
    Call(ToolResult),
    /// To `Pass`.
    Passed(Passed),
    /// To `List`.
    Listed(Listed),
    /// To `Tools`.
    Tools(Vec<ServerListing>),
    /// To `Servers`.
    Servers(Vec<ServerStatus>),
    /// To `Artifact`.
    Artifact(ArtifactPart),
    /// To whatever became a job, or asked for one.
    Job(Box<JobInfo>),
    /// To a list of jobs or schedules.
    Jobs(Vec<JobInfo>),
    /// To a list of runs.
    Runs(Vec<RunInfo>),
    /// To one run with its journal.
    RunShown(Box<RunView>),
    /// To a replay.
    Replayed(Box<Replayed>),
    /// To a job's log lines.
    Logs(Vec<LogLine>),
    /// To one session.
    Session(Box<SessionInfo>),
    /// To a list of sessions.
    Sessions(Vec<SessionInfo>),
    /// To one intent.
    Intent(Box<IntentInfo>),
    /// To a list of intents.
    Intents(Vec<IntentInfo>),
    /// To what leaves nothing to tell: deleted.
    Done,
}

/// Tools that were found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SearchAnswer {
    /// Best first.
    pub results: Vec<SearchHit>,
    /// The same for a model to read.
    #[serde(skip)]
    pub text: String,
}

/// One tool that was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchHit {
    /// The upstream's configured name.
    pub server: String,
    /// The tool's name on the wire.
    pub tool: String,
    /// How a program calls it: `github.list_issues`.
    pub call: String,
    /// Its signature in the language asked for (detail `signatures` and `full`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// One sentence, or everything with detail `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of the arguments (detail `full`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Value>,
    /// JSON Schema of the result (detail `full`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
}

/// Where an upstream is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// Known from the schema cache, not started yet.
    Cached,
    /// Not started and nothing known.
    Idle,
    /// Starting.
    Starting,
    /// Serving.
    Ready,
    /// The last start or call broke it; the next call starts it again.
    Failed,
    /// Switched off in the config.
    Disabled,
}

/// What `narrows servers` shows of one upstream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// The configured name.
    pub server: String,
    /// `stdio`, `http` or `builtin`.
    pub transport: String,
    /// Where it is in its life.
    pub state: ServerState,
    /// Its own version, once it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The protocol revision that was agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How many tools it lists.
    pub tools: usize,
    /// Tools that were skipped because their definition is broken, each with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// How it is kept: its tier, its processes, whether it is left alone for now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keeping: Vec<String>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A part of an artifact.
#[derive(Debug, Clone)]
pub struct ArtifactPart {
    /// Which artifact.
    pub handle: ArtifactId,
    /// Its media type.
    pub mime: String,
    /// Bytes of the whole.
    pub total_bytes: u64,
    /// First byte of this part.
    pub offset: u64,
    /// The part.
    pub bytes: Vec<u8>,
    /// Unix seconds when it is deleted.
    pub expires_at: u64,
}
