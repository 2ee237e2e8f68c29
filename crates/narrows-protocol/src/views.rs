//! Typed views of the messages that we look into.

use narrows_types::fault::clip;
use narrows_types::{Content, ToolResult, ToolSpec};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;

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
    pub capabilities: Value,
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
    pub capabilities: Value,
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
    #[serde(borrow, default, deserialize_with = "few")]
    pub tools: Vec<&'a RawValue>,
    /// Where the next page starts; the empty string is a cursor too.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// Tools of one page, or messages of one batch, that are taken; more are passed over.
const ITEMS_MAX: usize = 20_001;

/// The messages of a batch.
#[derive(Debug, Deserialize)]
pub struct Batch<'a>(#[serde(borrow, deserialize_with = "few")] pub Vec<&'a RawValue>);

/// The first items of a list. A list of nothings would take many times its bytes.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'de RawValue>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while items.len() < ITEMS_MAX {
                let Some(item) = list.next_element()? else { return Ok(items) };
                items.push(item);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(items)
        }
    }
    deserializer.deserialize_seq(Few)
}

/// Reads one tool; the error says what is wrong with it, with its name if it has one. What is not
/// needed to call it (title, hints, an output schema that is none) is left out if it is broken.
pub fn tool(raw: &RawValue) -> Result<ToolSpec, String> {
    let spec =
        serde_json::from_str::<ToolSpec>(raw.get()).or_else(|strict| mended(raw, &strict))?;
    if spec.name.is_empty() {
        return Err(NAMELESS.to_owned());
    }
    if !spec.input_schema.is_object() {
        return Err(format!("{}: `inputSchema` is not an object", spec.name));
    }
    let is_schema = |schema: &Value| schema.is_object() || schema.is_boolean();
    let output_schema = spec.output_schema.filter(is_schema);
    // Whatever the upstream wrote under that name is none of ours.
    let definition = Some(raw.to_owned());
    Ok(ToolSpec { output_schema, definition, ..spec })
}

const NAMELESS: &str = "a tool without a name";

/// The tool without those of its members that are broken and not needed.
fn mended(raw: &RawValue, strict: &serde_json::Error) -> Result<ToolSpec, String> {
    let unnamed = || format!("{NAMELESS}: {strict}");
    let mut members: Map<String, Value> =
        serde_json::from_str(raw.get()).map_err(|_no_object| unnamed())?;
    let Some(name) = members.get("name").and_then(Value::as_str).map(str::to_owned) else {
        return Err(NAMELESS.to_owned());
    };
    for key in ["title", "description"] {
        if members.get(key).is_some_and(|value| !value.is_string()) {
            members.remove(key);
        }
    }
    if let Some(hints) = members.get_mut("annotations") {
        match hints.as_object_mut() {
            Some(hints) => hints.retain(|_, hint| hint.is_boolean()),
            None => *hints = Value::Object(Map::new()),
        }
    }
    serde_json::from_value(Value::Object(members)).map_err(|e| format!("{name}: {e}"))
}

/// Reads the result of `tools/call`.
///
/// A result of another type than `complete` (a question, a task) is an error: it needs what was
/// not offered.
pub fn tool_result(raw: &RawValue) -> Result<ToolResult, String> {
    tool_result_text(raw.get())
}

/// The same for a text that was not looked at as JSON of its own.
pub fn tool_result_text(text: &str) -> Result<ToolResult, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Lenient {
        #[serde(default)]
        result_type: Option<String>,
        #[serde(default)]
        content: Option<Vec<Content>>,
        #[serde(default)]
        structured_content: Option<Box<RawValue>>,
        #[serde(default)]
        is_error: Option<bool>,
    }
    let result: Lenient = serde_json::from_str(text)
        .map_err(|e| format!("the result of tools/call is not understood: {e}"))?;
    match result.result_type.as_deref() {
        None | Some("complete") => {}
        Some("input_required") => {
            return Err(
                "it asks for input (elicitation or sampling), which is not offered".to_owned()
            );
        }
        Some(other) => {
            let other = clip(other.to_owned(), 40);
            return Err(format!("it answers with a result of type {other}, which is not offered"));
        }
    }
    Ok(ToolResult {
        content: result.content.unwrap_or_default(),
        structured_content: result.structured_content,
        is_error: result.is_error.unwrap_or(false),
    })
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
    use super::{Batch, ITEMS_MAX, ToolPage, tool, tool_result_text as tool_result};
    use serde_json::json;
    use serde_json::value::RawValue;

    fn raw(value: &serde_json::Value) -> Box<RawValue> {
        RawValue::from_string(value.to_string()).unwrap()
    }

    #[test]
    fn what_is_not_needed_may_be_broken() {
        let odd = raw(&json!({"name": "a", "inputSchema": {}, "title": 5, "outputSchema": [],
            "annotations": {"readOnlyHint": true, "destructiveHint": "no", "vendor": 1}}));
        let spec = tool(&odd).unwrap();
        assert_eq!(spec.annotations.read_only_hint, Some(true));
        assert_eq!(spec.annotations.destructive_hint, None);
        assert_eq!((spec.title, spec.output_schema), (None, None));
        let null = raw(&json!({"name": "a", "inputSchema": {}, "annotations": null}));
        assert!(tool(&null).is_ok());
    }

    #[test]
    fn results_are_read_leniently_and_kept_exactly() {
        let text = r#"{"content":null,"structuredContent":{ "n" : 1.50 },"isError":null,"x":1}"#;
        let result = tool_result(text).unwrap();
        assert_eq!(result.structured_content.unwrap().get(), r#"{ "n" : 1.50 }"#);
        assert!(tool_result(r#"{"content": "text"}"#).is_err());
        let asks = r#"{"resultType": "input_required", "inputRequests": {}}"#;
        assert!(tool_result(asks).unwrap_err().contains("asks for input"));
        assert!(tool_result(r#"{"resultType": "complete"}"#).is_ok());
    }

    #[test]
    fn a_list_of_nothings_takes_no_room() {
        let text = format!("[{}0]", "0,".repeat(ITEMS_MAX * 2));
        let batch: Batch<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(batch.0.len(), ITEMS_MAX);
        assert!(serde_json::from_str::<Batch<'_>>("[1, 2").is_err());
    }

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
