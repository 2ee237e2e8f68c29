//! What the fixture offers, as data.

use rmcp::model::{
    CallToolResult, GetPromptResult, InputRequests, Prompt, Resource, ResourceContents,
    ResourceTemplate, Tool,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The lists, and every answer that is always the same.
#[derive(Deserialize)]
pub(crate) struct Offer {
    pub(crate) tools: Vec<Tool>,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) templates: Vec<ResourceTemplate>,
    /// By tool.
    pub(crate) answers: BTreeMap<String, CallToolResult>,
    /// By prompt; `{argument}` is replaced.
    pub(crate) messages: BTreeMap<String, GetPromptResult>,
    /// By URI.
    pub(crate) contents: BTreeMap<String, ResourceContents>,
    /// What a tool asks the user for, as a schema.
    pub(crate) schemas: BTreeMap<String, Value>,
    /// What a tool or a prompt needs before it answers.
    pub(crate) rounds: BTreeMap<String, Dialog>,
}

/// Questions, round after round, and the answer after the last.
#[derive(Clone, Deserialize)]
pub(crate) struct Dialog {
    pub(crate) rounds: Vec<Round>,
    /// Whether the client keeps the state meanwhile.
    pub(crate) state: bool,
    /// The answer; `{key}` is what came for that question.
    pub(crate) done: String,
}

/// Questions that are asked together.
#[derive(Clone, Deserialize)]
pub(crate) struct Round {
    pub(crate) ask: InputRequests,
}

impl Offer {
    pub(crate) fn read() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("offer.json"))
    }
}

/// Text with what stands in braces replaced.
pub(crate) fn filled(text: &str, values: impl IntoIterator<Item = (String, String)>) -> String {
    values
        .into_iter()
        .fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), &value))
}
