//! What a tool call gives back.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

/// One content block of a tool result, exactly as it came over the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Content(pub Value);

impl Content {
    /// A text block.
    pub fn text(text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self(json!({"type": "text", "text": text}))
    }

    /// The text, if this is a text block.
    pub fn as_text(&self) -> Option<&str> {
        if self.kind() == "text" { self.0.get("text")?.as_str() } else { None }
    }

    /// The MCP type of the block: `text`, `image`, `audio`, `resource`, `resource_link`, ...
    pub fn kind(&self) -> &str {
        self.0.get("type").and_then(Value::as_str).unwrap_or("unknown")
    }
}

/// The outcome of one tool call that the upstream answered (also when it answered "error").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    /// Content blocks, in order.
    #[serde(default)]
    pub content: Vec<Content>,
    /// The structured result, byte for byte as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured_content: Option<Box<RawValue>>,
    /// The tool says that it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

impl ToolResult {
    /// A successful result whose only content is `text`.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::text(text)], structured_content: None, is_error: false }
    }

    /// All text blocks joined by line breaks.
    pub fn joined_text(&self) -> String {
        let texts: Vec<&str> = self.content.iter().filter_map(Content::as_text).collect();
        texts.join("\n")
    }
}
