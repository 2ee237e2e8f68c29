//! What can be set: the sections of `narrows.toml`. The schema that `narrows config schema` prints
//! is made from these types and their comments.

mod docker;
mod durable;
mod keeping;
mod microvm;
mod oauth;
mod sandbox;
mod serving;
mod tools;

pub(crate) use docker::Docker;
pub(crate) use durable::{Jobs, Runs, Sessions, Store, Synchronous};
pub(crate) use keeping::{Pool, Tier};
pub(crate) use microvm::Hypervisor;
pub(crate) use oauth::{Grant, OAuth};
pub(crate) use sandbox::{Hosts, Sandbox, Where};
pub(crate) use serving::{Cache, Key, Serve};
pub(crate) use tools::{Prefix, ToolSaid, Tools};

use super::secret::Secret;
use narrows_types::{Limits, ReadOnly};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tools::{PrefixSchema, ToolsSchema};

/// Everything that `narrows.toml` can say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    /// The schema that an editor checks this file against.
    #[serde(rename = "$schema")]
    pub(crate) schema: Option<String>,
    /// The servers to connect, by name. Without any, `files` (the current folder, read-only) and
    /// `time` are there.
    pub(crate) servers: BTreeMap<String, Server>,
    /// What one run may use. A call can only tighten it.
    pub(crate) limits: LimitsSection,
    /// How agents are served.
    pub(crate) serve: Serve,
    /// Who may come in over HTTP, by name. Without any, whoever reaches the address may.
    pub(crate) keys: BTreeMap<String, Key>,
    /// Which answers are kept for identical calls.
    pub(crate) cache: Cache,
    /// Where results, journals, sessions, intents and jobs are kept.
    pub(crate) store: Store,
    /// How surely runs are kept, and which of their calls are special.
    pub(crate) runs: Runs,
    /// What a session may use, where it says nothing itself.
    pub(crate) sessions: Sessions,
    /// Who does jobs, and how.
    pub(crate) jobs: Jobs,
    /// How programs are locked in.
    pub(crate) sandbox: Sandbox,
    /// How servers are started.
    pub(crate) upstream: Upstreams,
    /// What is logged (to standard error).
    pub(crate) log: Log,
}

/// The names of the sections.
pub(crate) const SECTIONS: [&str; 13] = [
    "$schema", "servers", "limits", "serve", "keys", "cache", "store", "runs", "sessions", "jobs",
    "sandbox", "upstream", "log",
];

/// One server: a command, a URL, or tools built into Narrows.
///
/// Every text may hold `${NAME}`, `${NAME:-default}` (environment) and `${file:PATH}` (a file's
/// content); `$${` stands for `${`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// The program to start; it speaks MCP on its standard input and output.
    pub(crate) command: Option<String>,
    /// The program's arguments.
    pub(crate) args: Option<Vec<Secret>>,
    /// Variables added to the program's environment.
    pub(crate) env: Option<BTreeMap<String, Secret>>,
    /// The folder the program runs in, relative to this file.
    pub(crate) cwd: Option<PathBuf>,
    /// The endpoint of a server that speaks HTTP, also `unix:PATH:/mcp` for a Unix socket.
    pub(crate) url: Option<Secret>,
    /// Further endpoints of the same server; calls go to the one with the fewest under way.
    pub(crate) urls: Option<Vec<Secret>>,
    /// Headers of every request to `url`.
    pub(crate) headers: Option<BTreeMap<String, Secret>>,
    /// How Narrows logs in at `url`.
    pub(crate) oauth: Option<OAuth>,
    /// Tools that are part of Narrows.
    pub(crate) builtin: Option<BuiltinKind>,
    /// For `builtin = "files"`: the folders whose files are reached, relative to this file.
    pub(crate) folders: Option<Vec<PathBuf>>,
    /// For `builtin = "files"`: whether files can be written.
    pub(crate) write: Option<bool>,
    /// How the server is reached; told by `command`, `url` or `builtin` already.
    #[serde(rename = "type")]
    pub(crate) transport: Option<Transport>,
    /// Whether the server takes part (default true).
    pub(crate) enabled: Option<bool>,
    /// Milliseconds from its start to its list of tools (default 30000).
    #[schemars(range(min = 1))]
    pub(crate) start_timeout_ms: Option<u64>,
    /// Milliseconds of its longest call (default: by its tier).
    #[schemars(range(min = 1))]
    pub(crate) call_timeout_ms: Option<u64>,
    /// Milliseconds without a call after which the program is stopped until the next one.
    #[schemars(range(min = 1))]
    pub(crate) idle_stop_ms: Option<u64>,
    /// What kind of work it does (default `medium`).
    pub(crate) tier: Option<Tier>,
    /// Its calls under way at once (default: by its tier); further ones wait.
    #[schemars(range(min = 1))]
    pub(crate) concurrency: Option<u64>,
    /// Its calls that may wait (default: by its tier); further ones are refused.
    pub(crate) queue: Option<u64>,
    /// The processes that serve it together (default: one).
    pub(crate) pool: Option<Pool>,
    /// Which era of MCP it speaks (default: found out by asking).
    pub(crate) era: Option<Era>,
    /// Which of its tools are there, and under which names.
    #[schemars(with = "Option<ToolsSchema>")]
    pub(crate) tools: Option<Tools>,
    /// What stands before the names of its tools and prompts (default: the server's name); `false`
    /// for nothing.
    #[schemars(with = "Option<PrefixSchema>")]
    pub(crate) prefix: Option<Prefix>,
    /// Milliseconds that answers of its tools with `readOnlyHint` are kept for identical calls.
    pub(crate) cache_ttl_ms: Option<u64>,
}

/// Tools that are part of Narrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BuiltinKind {
    /// List, read, search files under folders.
    Files,
    /// The clock and time zones.
    Time,
}

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// A program on standard input and output.
    Stdio,
    /// HTTP+SSE of revision 2024-11-05.
    Sse,
    /// Streamable HTTP.
    #[serde(alias = "streamable-http", alias = "streamable_http", alias = "streamableHttp")]
    Http,
    /// Part of Narrows.
    Builtin,
}

/// Which era of MCP a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Era {
    /// Found out by asking.
    #[default]
    Auto,
    /// Opens with `initialize` (revisions before 2026-07-28).
    Legacy,
    /// Stateless (from 2026-07-28).
    Modern,
}

/// What one run may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsSection {
    /// Milliseconds from start to end, waiting for tools included.
    #[schemars(range(min = 1))]
    pub(crate) wall_ms: u64,
    /// Milliseconds of processor time inside the worker.
    #[schemars(range(min = 1))]
    pub(crate) cpu_ms: u64,
    /// Bytes of heap of the interpreter.
    #[schemars(range(min = 1))]
    pub(crate) memory_bytes: u64,
    /// Bytes of all files that a run keeps at once; they are its alone and gone with it. With 0 it
    /// has none.
    pub(crate) disk_bytes: u64,
    /// Files and folders that a run keeps at once.
    pub(crate) files: u32,
    /// Threads and processes of one run at once, its first thread among them.
    #[schemars(range(min = 1))]
    pub(crate) processes: u32,
    /// Whether a run can write nothing but its own files. It cannot be `false`.
    pub(crate) read_only: bool,
    /// What runs reach of the network by themselves, by a proxy of Narrows's. For the engines
    /// `cpython` and `deno`; others reach nothing.
    pub(crate) network: Hosts,
    /// Tool calls in one run.
    pub(crate) calls: u32,
    /// Tool calls under way at once; further ones wait.
    #[schemars(range(min = 1))]
    pub(crate) calls_parallel: u32,
    /// Bytes of one tool result that enters the worker.
    #[schemars(range(min = 1))]
    pub(crate) result_bytes: u64,
    /// Bytes of the returned value that leave the worker.
    #[schemars(range(min = 1))]
    pub(crate) value_bytes: u64,
    /// Bytes of all log lines of a run.
    pub(crate) log_bytes: u64,
    /// Bytes of everything that goes back to the agent: value, logs, errors.
    #[schemars(range(min = 1))]
    pub(crate) output_bytes: u64,
    /// The largest `output_bytes` that a call may ask for.
    #[schemars(range(min = 1))]
    pub(crate) output_bytes_max: u64,
    /// Bytes of a program's text.
    #[schemars(range(min = 1))]
    pub(crate) code_bytes: u64,
    /// Bytes of the arguments of one tool call.
    #[schemars(range(min = 1))]
    pub(crate) arguments_bytes: u64,
    /// Runs under way at once; further ones wait.
    #[schemars(range(min = 1))]
    pub(crate) runs_parallel: u64,
    /// Runs that may wait; further ones are refused.
    pub(crate) runs_waiting: u64,
}

impl Default for LimitsSection {
    fn default() -> Self {
        let of = Limits::default();
        Self {
            wall_ms: of.wall_ms,
            cpu_ms: of.cpu_ms,
            memory_bytes: of.memory_bytes,
            disk_bytes: of.disk_bytes,
            files: of.files,
            processes: of.processes,
            read_only: true,
            network: Hosts::default(),
            calls: of.calls,
            calls_parallel: of.calls_parallel,
            result_bytes: of.result_bytes,
            value_bytes: of.value_bytes,
            log_bytes: of.log_bytes,
            output_bytes: of.output_bytes,
            output_bytes_max: 64 << 10,
            code_bytes: of.code_bytes,
            arguments_bytes: 4 << 20,
            runs_parallel: 64,
            runs_waiting: 512,
        }
    }
}

impl LimitsSection {
    /// The limits of a run.
    pub(crate) fn run(&self) -> Limits {
        Limits {
            wall_ms: self.wall_ms,
            cpu_ms: self.cpu_ms,
            memory_bytes: self.memory_bytes,
            disk_bytes: self.disk_bytes,
            files: self.files,
            processes: self.processes,
            read_only: ReadOnly,
            network: self.network.network().unwrap_or_default(),
            calls: self.calls,
            calls_parallel: self.calls_parallel,
            result_bytes: self.result_bytes,
            value_bytes: self.value_bytes,
            log_bytes: self.log_bytes,
            output_bytes: self.output_bytes,
            code_bytes: self.code_bytes,
        }
    }
}

/// How servers are started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Upstreams {
    /// Servers that start at once; further ones wait.
    #[schemars(range(min = 1))]
    pub(crate) start_parallel: u64,
    /// Calls of all servers together that are under way at once; servers take turns for them.
    #[schemars(range(min = 1))]
    pub(crate) concurrency: u64,
    /// Calls that may wait for that; further ones are refused.
    pub(crate) queue: u64,
    /// Milliseconds that a search or a run waits for servers whose tools are not known yet.
    pub(crate) list_wait_ms: u64,
    /// Whether lists of tools are kept between starts.
    pub(crate) cache: bool,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self {
            start_parallel: 4,
            concurrency: 1_024,
            queue: 4_096,
            list_wait_ms: 20_000,
            cache: true,
        }
    }
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter like `narrows_upstream=debug,warn`.
    pub(crate) level: String,
    /// The shape of log lines.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "warn".to_owned(), format: LogFormat::Text }
    }
}
