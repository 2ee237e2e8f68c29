//! Typed views of the messages that we look into.

use narrows_types::{ToolResult, ToolSpec};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A name and a version, of either side.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Implementation {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// The version.
    #[serde(default)]
    pub version: String,
}

/// The result of `initialize`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Initialized {
    /// The revision that the server chose.
    pub protocol_version: String,
    /// Who it is.
    #[serde(default)]
    pub server_info: Implementation,
    /// What it tells models.
    #[serde(default)]
    pub instructions: Option<String>,
    /// What it can do.
    #[serde(default)]
    pub capabilities: serde_json::Value,
}

/// The result of `server/discover`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Discovered {
    /// The revisions that the server speaks.
    #[serde(default)]
    pub supported_versions: Vec<String>,
    /// What it tells models.
    #[serde(default)]
    pub instructions: Option<String>,
    /// What it can do.
    #[serde(default)]
    pub capabilities: serde_json::Value,
    /// Metadata, with the server's introduction.
    #[serde(rename = "_meta", default)]
    pub meta: DiscoveredMeta,
}

/// The part of `_meta` that introduces the server.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct DiscoveredMeta {
    /// Who it is.
    #[serde(rename = "io.modelcontextprotocol/serverInfo", default)]
    pub server_info: Implementation,
}

/// One page of `tools/list`, each tool still text.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolPage<'a> {
    /// The tools.
    #[serde(borrow, default)]
    pub tools: Vec<&'a RawValue>,
    /// Where the next page starts; the empty string is a cursor too.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// Reads one tool; the error says what is wrong with it, with its name if it has one.
pub fn tool(raw: &RawValue) -> Result<ToolSpec, String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        name: serde_json::Value,
    }
    let name = serde_json::from_str::<Named>(raw.get())
        .ok()
        .and_then(|n| n.name.as_str().map(str::to_owned))
        .unwrap_or_else(|| "a tool without a name".to_owned());
    let spec: ToolSpec = serde_json::from_str(raw.get()).map_err(|e| format!("{name}: {e}"))?;
    if spec.name.is_empty() {
        return Err("a tool without a name".to_owned());
    }
    if !spec.input_schema.is_object() {
        return Err(format!("{name}: `inputSchema` is not an object"));
    }
    Ok(spec)
}

/// Reads the result of `tools/call`.
pub fn tool_result(raw: &RawValue) -> Result<ToolResult, String> {
    serde_json::from_str(raw.get()).map_err(|e| format!("the result of tools/call: {e}"))
}

/// What kind of result a modern server gave.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultType {
    /// `complete` (also if absent), `input_required`, `task`.
    #[serde(default)]
    pub result_type: Option<String>,
}

/// The parameters of `notifications/progress`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Whose progress.
    pub progress_token: crate::Id,
    /// How far, in units of `total`.
    #[serde(default)]
    pub progress: f64,
    /// Of how many.
    #[serde(default)]
    pub total: Option<f64>,
    /// What is being done.
    #[serde(default)]
    pub message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{ToolPage, tool};

    #[test]
    fn a_broken_tool_costs_only_itself() {
        let text = r#"{"tools":[{"name":"a","inputSchema":{"type":"object"},"vendor":1},
            {"name":"b","inputSchema":"no"},{"inputSchema":{}},{"name":"c"}],"nextCursor":""}"#;
        let page: ToolPage<'_> = serde_json::from_str(text).unwrap();
        let read: Vec<_> = page.tools.iter().map(|t| tool(t)).collect();
        assert_eq!(read[0].as_ref().unwrap().name, "a");
        assert_eq!(read[1].as_ref().unwrap_err(), "b: `inputSchema` is not an object");
        assert!(read[2].is_err());
        assert!(read[3].as_ref().unwrap_err().starts_with("c: "));
        assert_eq!(page.next_cursor.as_deref(), Some(""));
    }
}
