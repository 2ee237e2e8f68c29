//! Tool results as programs see them.

use super::fit_text;
use narrows_types::fault::clip;
use narrows_types::{Content, ToolResult};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Bytes of a tool's error text that a program hears.
const ERROR_BYTES: usize = 600;
/// The key that marks a handle.
const HANDLE: &str = "$content";

/// A tool's words about its failure, short enough for an error.
pub fn error_text(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        "it failed without a word".to_owned()
    } else {
        fit_text(text, ERROR_BYTES)
    }
}

/// The value that a call gives to its program, as JSON text, and the content behind its handles:
/// the structured content where there is one, else the text parsed as JSON, else the text. Content
/// that is not text becomes a handle, unique by the call's number; beside structured content the
/// handles are its member `$content`.
pub fn program_value(result: &ToolResult, call: u32) -> (String, Vec<(String, Content)>) {
    let mut handles = Vec::new();
    let others: Vec<Value> = result
        .content
        .iter()
        .filter(|c| c.as_text().is_none())
        .map(|content| {
            let key = format!("c{call}_{}", handles.len() + 1);
            let handle = handle(&key, content);
            handles.push((key, content.clone()));
            handle
        })
        .collect();
    if let Some(structured) = &result.structured_content {
        return (with_handles(structured.get(), &others), handles);
    }
    let text = result.joined_text();
    if others.is_empty() {
        return (text_value(&text), handles);
    }
    if text.is_empty() {
        let value = if let [one] = others.as_slice() { one.clone() } else { Value::Array(others) };
        return (value.to_string(), handles);
    }
    (json!({"text": text, "content": others}).to_string(), handles)
}

/// The structured content byte for byte, with the handles as one more member where there are any.
fn with_handles(structured: &str, handles: &[Value]) -> String {
    let body = structured.trim_end().strip_suffix('}').map(str::trim_end);
    let Some(body) = body.filter(|_| !handles.is_empty()) else { return structured.to_owned() };
    let comma = if body.ends_with('{') { "" } else { "," };
    format!("{body}{comma}\"{HANDLE}\":{}}}", Value::from(handles))
}

/// The text itself if it is JSON, else a JSON string of it.
fn text_value(text: &str) -> String {
    let trimmed = text.trim();
    let is_json = trimmed.starts_with(['{', '[', '"', 't', 'f', 'n', '-'])
        || trimmed.starts_with(|c: char| c.is_ascii_digit());
    if is_json && serde_json::from_str::<&RawValue>(trimmed).is_ok() {
        return trimmed.to_owned();
    }
    Value::from(text).to_string()
}

fn handle(key: &str, content: &Content) -> Value {
    let block = &content.0;
    let text = |name: &str| block.get(name).and_then(Value::as_str);
    let resource = block.get("resource");
    let inner = |name: &str| resource.and_then(|r| r.get(name)).and_then(Value::as_str);
    let mut handle = json!({HANDLE: key, "type": content.kind()});
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(value), Some(members)) = (value, handle.as_object_mut()) {
            members.insert(name.to_owned(), value);
        }
    };
    set("mimeType", text("mimeType").or_else(|| inner("mimeType")).map(Value::from));
    set("uri", text("uri").or_else(|| inner("uri")).map(Value::from));
    set("name", text("name").map(Value::from));
    set("text", inner("text").map(Value::from));
    let data = text("data").or_else(|| inner("blob"));
    set("bytes", data.map(|d| Value::from(d.len() / 4 * 3)));
    handle
}

/// What `show(x)` adds to the answer: the content behind a handle, else the value as text.
pub fn shown(value: &RawValue, content: impl Fn(&str) -> Option<Content>) -> Content {
    const TEXT_BYTES: usize = 4_096;
    let parsed: Value = serde_json::from_str(value.get()).unwrap_or_default();
    if let Some(found) = parsed.get(HANDLE).and_then(Value::as_str).and_then(content) {
        return found;
    }
    match parsed {
        Value::String(text) => Content::text(clip(text, TEXT_BYTES)),
        other => Content::text(clip(other.to_string(), TEXT_BYTES)),
    }
}
