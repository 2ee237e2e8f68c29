//! The OpenAPI document, made from the annotations at the handlers.
//!
//! The shapes here tell a reader what goes in and out; the JSON itself is made from the
//! dictionary's types.

mod durable;

pub(super) use durable::{
    Intent, IntentRequest, Intents, JobDetail, JobRequest, Jobs, Logs, Replay, ReplayRequest,
    ResumeRequest, RollbackRequest, RunDetail, Runs, Schedules, SessionDetail, SessionRequest,
    Sessions,
};

use crate::arguments::Queries;
use serde_json::Value;
use utoipa::{OpenApi, ToSchema};

/// The document for this version.
pub(super) fn document(version: &str) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    version.clone_into(&mut document.info.version);
    document
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Narrows",
        description = "One server in front of all tools: search them, and run one program over many.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        super::run,
        super::runs::create,
        super::runs::list,
        super::runs::show,
        super::runs::resume,
        super::runs::replay,
        super::jobs::submit,
        super::jobs::list,
        super::jobs::show,
        super::jobs::logs,
        super::jobs::cancel,
        super::jobs::retry,
        super::jobs::schedules,
        super::jobs::unschedule,
        super::sessions::create,
        super::sessions::list,
        super::sessions::show,
        super::sessions::delete,
        super::intents::save,
        super::intents::list,
        super::intents::show,
        super::intents::call,
        super::intents::delete,
        super::intents::rollback,
        super::intents::test,
        super::search,
        super::tools,
        super::call,
        super::servers,
        super::mode::show,
        super::mode::switch,
        super::artifact,
        super::health,
        super::live,
        super::ready,
        super::document,
    )
)]
struct Document;

/// A program to execute.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the handler reads it field by field")]
pub(super) struct RunRequest {
    /// The program's text.
    code: String,
    /// `typescript` (default) or `python`.
    #[schema(required = false)]
    language: Option<String>,
    /// What evaluates it: `quickjs`, `wasm` or `deno` for TypeScript, `monty` or `cpython` for
    /// Python; the config's choice by default.
    #[schema(required = false)]
    engine: Option<String>,
    /// Limits lower than the config's: `wall_ms`, `cpu_ms`, `memory_bytes`, `disk_bytes`,
    /// `files`, `processes`, `read_only`, `network`, `calls`, `calls_parallel`,
    /// `result_bytes`, `value_bytes`, `log_bytes`.
    #[schema(required = false)]
    limits: Option<Value>,
    /// Bound as `input` inside the program.
    #[schema(required = false)]
    input: Option<Value>,
    /// Milliseconds that the program may take.
    #[schema(required = false, minimum = 1)]
    timeout_ms: Option<u64>,
    /// Bytes of everything that goes back.
    #[schema(required = false, minimum = 1)]
    output_bytes: Option<u64>,
    /// The session that it belongs to, `ses_...`.
    #[schema(required = false)]
    session: Option<String>,
    /// It finds the variables, functions and classes of the session's earlier programs, and leaves its
    /// own.
    #[schema(required = false)]
    state: Option<bool>,
    /// As a job: the answer comes at once, with status 202.
    #[schema(required = false)]
    background: Option<bool>,
    /// How surely its journal is kept: `off`, `async` or `sync`.
    #[schema(required = false)]
    durability: Option<String>,
}

/// How a program ended and what it did. Whatever the program does wrong is told here too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
pub(super) struct RunReply {
    /// Which run.
    run: String,
    /// `returned`, `threw`, `rejected`, `limit`, `deadlock`, `paused`, `diverged` or `lost`; further
    /// members depend on it.
    end: String,
    /// The returned value, where it fits the budget.
    #[schema(required = false)]
    value: Option<Value>,
    /// Where the value does not fit: its beginning.
    #[schema(required = false)]
    preview: Option<String>,
    /// Where the value does not fit: keys, lengths and types.
    #[schema(required = false)]
    shape: Option<String>,
    /// Where the value does not fit: its handle, for `/v1/artifacts/{id}`.
    #[schema(required = false)]
    artifact: Option<String>,
    /// Where it is paused: what it asks, `{id, kind, about?, message, schema?}` each.
    #[schema(required = false)]
    questions: Option<Vec<Value>>,
    /// Captured log lines.
    #[schema(required = false)]
    logs: Option<Vec<Value>>,
    /// Every tool call.
    #[schema(required = false)]
    calls: Option<Vec<Value>>,
    /// Content that the program showed.
    #[schema(required = false)]
    shown: Option<Vec<Value>>,
    /// Time and memory.
    usage: Value,
    /// Calls, milliseconds and bytes kept out of the reply.
    bill: Value,
    /// All of it rendered for a model.
    text: String,
}

/// What to look for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the handler reads it field by field")]
pub(super) struct SearchRequest {
    /// One query or several, merged.
    query: Queries,
    /// Only this server.
    #[schema(required = false)]
    server: Option<String>,
    /// At most so many results.
    #[schema(required = false, minimum = 1)]
    limit: Option<u64>,
    /// `names`, `signatures` (default) or `full`.
    #[schema(required = false)]
    detail: Option<String>,
    /// Signatures in `typescript` (default) or `python`.
    #[schema(required = false)]
    language: Option<String>,
}

/// Tools that were found, best first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
pub(super) struct SearchReply {
    /// `{server, tool, call, signature?, description?, inputSchema?, outputSchema?}` each.
    results: Vec<Value>,
    /// The same for a model to read.
    text: String,
}

/// A tool's result, as its server gave it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
#[schema(rename_all = "camelCase")]
pub(super) struct ToolReply {
    /// MCP content blocks.
    content: Vec<Value>,
    /// The structured result.
    #[schema(required = false)]
    structured_content: Option<Value>,
    /// The tool says that it failed.
    #[schema(required = false)]
    is_error: Option<bool>,
}

/// What agents see of whom nothing else is said.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the handler reads and writes it")]
pub(super) struct ModeBody {
    /// `code`, `hybrid` or `mcp`.
    mode: String,
}

/// `{"servers": [...]}`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's types are what is written")]
pub(super) struct Servers {
    /// One entry for each server.
    servers: Vec<Value>,
}

/// Any error.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the fault table writes it")]
pub(super) struct Problem {
    /// What went wrong.
    error: ProblemBody,
}

/// What went wrong and what to do next.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the fault table writes it")]
pub(super) struct ProblemBody {
    /// `invalid`, `unauthenticated`, `forbidden`, `not_found`, `conflict`, `limit`,
    /// `rate_limited`, `upstream`, `timeout`, `lost`, `unavailable`, `cancelled` or `bug`.
    kind: String,
    /// What happened.
    message: String,
    /// The next step.
    #[schema(required = false)]
    hint: Option<String>,
    /// `"never"`, `"now"` or `{"after_ms": n}`.
    retry: Value,
}
