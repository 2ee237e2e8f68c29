//! The shapes of what outlives a request.

use serde_json::Value;
use utoipa::ToSchema;

/// Answers to the questions of a run.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the handler reads it")]
pub(in crate::rest) struct ResumeRequest {
    /// `{id, action?, content?}` each; `action` is `accept` (default), `decline` or `cancel`.
    #[schema(required = false)]
    answers: Option<Vec<Value>>,
    /// The answer to the one question that is open.
    #[schema(required = false)]
    answer: Option<Value>,
    /// As a job: the answer comes at once.
    #[schema(required = false)]
    background: Option<bool>,
}

/// What is replayed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the handler reads it")]
pub(in crate::rest) struct ReplayRequest {
    /// Another program than the run's own.
    #[schema(required = false)]
    code: Option<String>,
}

/// What a replay did, beside the run that it replays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
pub(in crate::rest) struct Replay {
    /// The end of the replay, as text.
    text: String,
    /// Whether it ended as the run did.
    same: bool,
    /// What differs, one line each.
    differences: Vec<String>,
}

/// `{"runs": [...]}`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
pub(in crate::rest) struct Runs {
    /// Each at a glance, newest first.
    runs: Vec<Value>,
}

/// A run with its journal.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
#[schema(rename_all = "camelCase")]
pub(in crate::rest) struct RunDetail {
    /// Which.
    run: String,
    /// `running`, `paused`, `returned`, `threw`, `rejected`, `limit`, `deadlock`, `lost`, `diverged` or
    /// `cancelled`.
    state: String,
    /// Unix milliseconds when it began.
    started_at_ms: u64,
    /// How often it was begun or resumed.
    executions: u32,
    /// What it waits for.
    #[schema(required = false)]
    questions: Option<Vec<Value>>,
    /// The program.
    code: String,
    /// Its calls: number, server, tool, arguments, startUs, tookUs, bytes, ok, outcome.
    calls_made: Vec<Value>,
    /// Its log lines.
    logs: Vec<Value>,
}

/// What is to be done, one of `run`, `intent`, `call` and `resume`, and how.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the handler reads it")]
pub(in crate::rest) struct JobRequest {
    /// A program, as `POST /v1/runs` takes it.
    #[schema(required = false)]
    run: Option<Value>,
    /// `{name, input?}`.
    #[schema(required = false)]
    intent: Option<Value>,
    /// `{server, tool, arguments?}`.
    #[schema(required = false)]
    call: Option<Value>,
    /// `{run}`.
    #[schema(required = false)]
    resume: Option<Value>,
    /// Higher goes first.
    #[schema(required = false)]
    priority: Option<i32>,
    /// Milliseconds until it may begin.
    #[schema(required = false)]
    delay_ms: Option<u64>,
    /// How often it may be begun.
    #[schema(required = false)]
    max_attempts: Option<u32>,
    /// A cron line of five fields, UTC: a job each time.
    #[schema(required = false)]
    cron: Option<String>,
}

/// A job, or a schedule of jobs.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
#[schema(rename_all = "camelCase")]
pub(in crate::rest) struct JobDetail {
    /// Its handle.
    job: String,
    /// `queued`, `running`, `paused`, `done`, `failed`, `dead`, `cancelled`; `scheduled` for a schedule.
    state: String,
    /// What it does.
    work: String,
    /// How often it was begun.
    attempt: u32,
    /// How often it may be begun.
    max_attempts: u32,
    /// Done so far, from 0 to 1.
    #[schema(required = false)]
    fraction: Option<f64>,
    /// Its run.
    #[schema(required = false)]
    run: Option<String>,
    /// What it waits for.
    #[schema(required = false)]
    questions: Option<Vec<Value>>,
    /// Its result: a run's report, or a call's result.
    #[schema(required = false)]
    result: Option<Value>,
    /// What went wrong last.
    #[schema(required = false)]
    error: Option<String>,
}

/// `{"jobs": [...]}`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
pub(in crate::rest) struct Jobs {
    /// Newest first.
    jobs: Vec<JobDetail>,
}

/// `{"schedules": [...]}`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
pub(in crate::rest) struct Schedules {
    /// Each with its cron line.
    schedules: Vec<JobDetail>,
}

/// `{"logs": [...]}`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
pub(in crate::rest) struct Logs {
    /// `{level, text}` each.
    logs: Vec<Value>,
}

/// How a session is to be.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the handler reads it")]
pub(in crate::rest) struct SessionRequest {
    /// Seconds without use after which it ends.
    #[schema(required = false)]
    idle_s: Option<u64>,
    /// Seconds after which it ends however it is used.
    #[schema(required = false)]
    life_s: Option<u64>,
    /// `{calls?, ms?, bytes?, tokens?}`: what it may use in all.
    #[schema(required = false)]
    budget: Option<Value>,
}

/// A session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
#[schema(rename_all = "camelCase")]
pub(in crate::rest) struct SessionDetail {
    /// Its handle.
    session: String,
    /// Unix milliseconds when it ends, if it is not used before.
    expires_at_ms: u64,
    /// What it may use; 0 is without a limit.
    budget: Value,
    /// What it has used.
    used: Value,
    /// Values that it keeps.
    values: u64,
    /// Bytes of them.
    value_bytes: u64,
    /// Its last runs.
    #[schema(required = false)]
    runs: Option<Vec<String>>,
}

/// `{"sessions": [...]}`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
pub(in crate::rest) struct Sessions {
    /// Each.
    sessions: Vec<SessionDetail>,
}

/// A program to save, or with `run` that of a finished run.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the handler reads it")]
pub(in crate::rest) struct IntentRequest {
    /// Its name: an identifier.
    name: String,
    /// What it does, one sentence.
    #[schema(required = false)]
    description: Option<String>,
    /// The program; it reads `input`.
    #[schema(required = false)]
    code: Option<String>,
    /// `typescript` (default) or `python`.
    #[schema(required = false)]
    language: Option<String>,
    /// What evaluates it: `quickjs`, `wasm`, `deno`, `monty`, `cpython`.
    #[schema(required = false)]
    engine: Option<String>,
    /// Limits lower than the config's, such as `{"cpu_ms": 500}`.
    #[schema(required = false)]
    limits: Option<Value>,
    /// JSON Schema of `input`.
    #[schema(required = false)]
    input_schema: Option<Value>,
    /// `{input, expected, run?}` each.
    #[schema(required = false)]
    tests: Option<Vec<Value>>,
    /// The run whose program is saved.
    #[schema(required = false)]
    run: Option<String>,
}

/// An intent at a version.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
#[schema(rename_all = "camelCase")]
pub(in crate::rest) struct Intent {
    /// Its name.
    name: String,
    /// What it does.
    description: String,
    /// The program.
    code: String,
    /// Its language.
    language: String,
    /// What evaluates it, if not what the config says.
    #[schema(required = false)]
    engine: Option<String>,
    /// Limits lower than the config's.
    #[schema(required = false)]
    limits: Option<Value>,
    /// JSON Schema of its input.
    input_schema: Value,
    /// The version in use.
    version: u32,
    /// Versions that exist.
    versions: u32,
}

/// `{"intents": [...]}`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the dictionary's type is what is written")]
pub(in crate::rest) struct Intents {
    /// Each at the version in use.
    intents: Vec<Intent>,
}

/// Which version is to be in use.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes JSON; the handler reads it")]
pub(in crate::rest) struct RollbackRequest {
    /// Its number, from 1.
    version: u32,
}
