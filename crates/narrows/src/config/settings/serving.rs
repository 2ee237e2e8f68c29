//! How agents are served, and what each of them sees.

use super::super::secret::Secret;
use super::sandbox::{LoweredSection, Named};
use narrows_types::BackendKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an agent sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Two tools: `search` and `run`.
    #[default]
    Code,
    /// Those two, and the tools worth listing: pinned ones, MCP Apps, those used most.
    Hybrid,
    /// Every tool, prompt and resource, passed through.
    Mcp,
}

impl From<Mode> for narrows_types::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Code => Self::Code,
            Mode::Hybrid => Self::Hybrid,
            Mode::Mcp => Self::Mcp,
        }
    }
}

/// How agents are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Serve {
    /// What an agent sees of whom nothing else is said.
    pub(crate) mode: Mode,
    /// The modes that a client may ask for (`/mcp?mode=hybrid`).
    pub(crate) modes: Vec<Mode>,
    /// What single clients see, by the name that they give; `*` stands for any characters.
    pub(crate) clients: BTreeMap<String, Mode>,
    /// Whether `PUT /v1/mode` can change `mode` while Narrows runs.
    pub(crate) switch_mode: bool,
    /// Between a server's prefix and the name of a tool or prompt.
    pub(crate) separator: String,
    /// About so many tokens of tools are listed beside `search` and `run` in hybrid mode.
    pub(crate) hybrid_tokens: u64,
    /// Items of one page of a list.
    #[schemars(range(min = 1))]
    pub(crate) page_items: u64,
    /// Serve HTTP at this address (`127.0.0.1:7300`, `unix:PATH`) instead of standard input and
    /// output.
    pub(crate) http: Option<String>,
    /// Values of `Host` that are served beside loopback names; `*` serves any.
    pub(crate) allowed_hosts: Vec<String>,
    /// Values of `Origin` that are served beside loopback origins; `*` serves any.
    pub(crate) allowed_origins: Vec<String>,
    /// Bytes of one message.
    #[schemars(range(min = 1))]
    pub(crate) body_bytes_max: u64,
    /// HTTP sessions of clients older than revision 2026-07-28.
    #[schemars(range(min = 1))]
    pub(crate) sessions_max: u64,
    /// Seconds that such a session lives without a request.
    #[schemars(range(min = 1))]
    pub(crate) session_ttl_s: u64,
    /// Seconds that any request may take.
    #[schemars(range(min = 1))]
    pub(crate) request_timeout_s: u64,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            mode: Mode::Code,
            modes: vec![Mode::Code, Mode::Hybrid, Mode::Mcp],
            clients: BTreeMap::new(),
            switch_mode: false,
            separator: ".".to_owned(),
            hybrid_tokens: 4_000,
            page_items: 1_000,
            http: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_bytes_max: 4 << 20,
            sessions_max: 1_000,
            session_ttl_s: 3_600,
            request_timeout_s: 300,
        }
    }
}

/// A key: whoever shows it (`Authorization: Bearer KEY`) comes in over HTTP under its name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The secret; a reference such as `${MY_KEY}` keeps it out of this file.
    #[serde(rename = "key")]
    pub(crate) secret: Secret,
    /// What its holder sees, whatever the client asks for.
    #[serde(default)]
    pub(crate) mode: Option<Mode>,
    /// The servers that exist for its holder; all if none are named.
    #[serde(default)]
    pub(crate) servers: Vec<String>,
    /// Limits that its holder's runs have lower than others.
    #[serde(default)]
    pub(crate) limits: LoweredSection,
    /// Where its holder's programs run, if not where `sandbox.backend` says.
    #[serde(default)]
    #[schemars(with = "Option<Named>")]
    pub(crate) backend: Option<BackendKind>,
}

/// Answers that are kept for identical calls. Nothing is kept of a tool of which nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cache {
    /// Milliseconds within which identical calls of tools with `readOnlyHint` are one call; 0 joins
    /// none.
    pub(crate) batch_ms: u64,
    /// Bytes of all answers that are kept.
    pub(crate) bytes_max: u64,
    /// Bytes of one of them.
    pub(crate) answer_bytes_max: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { batch_ms: 0, bytes_max: 64 << 20, answer_bytes_max: 1 << 20 }
    }
}
