//! Tools as upstreams describe them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// The language a program is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// TypeScript or JavaScript, run by `QuickJS`.
    #[default]
    #[serde(alias = "javascript", alias = "ts", alias = "js")]
    TypeScript,
    /// Python, run by Monty.
    #[serde(alias = "py")]
    Python,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TypeScript => "typescript",
            Self::Python => "python",
        })
    }
}

/// What a tool says of its effects (MCP `annotations`). Hints from an untrusted source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Annotations {
    /// The tool changes nothing.
    pub read_only_hint: Option<bool>,
    /// The tool may destroy something.
    pub destructive_hint: Option<bool>,
    /// Calling again with the same arguments changes nothing more.
    pub idempotent_hint: Option<bool>,
    /// The tool talks to the outside world.
    pub open_world_hint: Option<bool>,
}

/// One tool of one upstream, as it was listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolSpec {
    /// The name on the wire, unique within its upstream.
    pub name: String,
    /// A title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does, in the upstream's words (untrusted text).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of the arguments; an object schema in a well-behaved upstream.
    pub input_schema: Value,
    /// JSON Schema of the structured result, if declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Hints about effects.
    #[serde(default)]
    pub annotations: Annotations,
    /// All of it, as the upstream wrote it; none if it is a tool of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Box<RawValue>>,
}

/// Everything one upstream offers at one moment. The input of the catalog.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerListing {
    /// The configured name of the upstream.
    pub server: String,
    /// The upstream's instructions to models (untrusted text).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Its tools in the order in which it lists them.
    pub tools: Vec<Arc<ToolSpec>>,
    /// How long it lets a client keep its list, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Its list is for one client only; lists of which nothing is said are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
}
