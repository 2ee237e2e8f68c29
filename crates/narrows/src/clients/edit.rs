//! Our entry put into a client's file, checked before it is written.

use super::dialect::Dialect;
use super::{edit_json, edit_yaml};
use crate::config::formats::Format;
use crate::config::tree::{Kind, Tree};
use serde_json::{Value, json};
use std::sync::Arc;

/// How a client starts us.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The binary, absolute.
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
}

/// The name of our entry.
pub(crate) const NAME: &str = "narrows";

/// Keys that say how we are started.
const STARTED: [&str; 4] = ["command", "cmd", "args", "type"];
/// Keys of a server that is reached by a url, which cannot stand beside a command.
const REACHED: [&str; 4] = ["url", "httpUrl", "serverUrl", "uri"];

/// Our entry as the client writes it.
pub(crate) fn entry(dialect: Dialect, start: &Start) -> Value {
    let (command, args) = (&start.command, &start.args);
    let list: Vec<&String> = std::iter::once(command).chain(args).collect();
    match dialect {
        Dialect::TypedServers | Dialect::VsCode => {
            json!({"type": "stdio", "command": command, "args": args})
        }
        Dialect::Servers | Dialect::Codex | Dialect::Amp => {
            json!({"command": command, "args": args})
        }
        Dialect::Zed => json!({"command": command, "args": args, "env": {}}),
        Dialect::OpenCode => json!({"type": "local", "command": list, "enabled": true}),
        Dialect::Continue => json!({"name": NAME, "command": command, "args": args}),
        Dialect::Goose => json!({
            "name": NAME, "type": "stdio", "enabled": true, "cmd": command, "args": args,
            "envs": {}, "timeout": 300,
        }),
    }
}

/// The file's new text. Fails with the reason if the file cannot be edited safely.
pub(crate) fn put(
    text: &str,
    dialect: Dialect,
    format: Format,
    start: &Start,
) -> Result<String, String> {
    let container = dialect.container();
    let fresh = entry(dialect, start);
    let whole = read(text, format).unwrap_or_default();
    let old = ours(&whole, container);
    let value = merged(old, fresh);
    if old == Some(&value) {
        return Ok(text.to_owned());
    }
    let new = match format {
        Format::Json => {
            let path: Vec<&str> = container.iter().copied().chain([NAME]).collect();
            edit_json::put(text, &path, &value)?
        }
        Format::Toml => toml(text, container, &value)?,
        Format::Yaml => yaml(text, dialect, container, &value),
    };
    verify(text, &new, format, container, &value)?;
    Ok(new)
}

/// How we are started is ours to say; what else the entry holds is the user's.
fn merged(old: Option<&Value>, fresh: Value) -> Value {
    let (Some(Value::Object(old)), Value::Object(fresh)) = (old, &fresh) else { return fresh };
    let mut all = old.clone();
    all.retain(|key, _| !REACHED.contains(&key.as_str()));
    for (key, value) in fresh {
        if STARTED.contains(&key.as_str()) || !all.contains_key(key) {
            all.insert(key.clone(), value.clone());
        }
    }
    Value::Object(all)
}

fn toml(text: &str, container: &[&str], value: &Value) -> Result<String, String> {
    let mut document: toml_edit::DocumentMut =
        text.parse().map_err(|e: toml_edit::TomlError| e.message().to_owned())?;
    let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
    for key in container {
        let mut fresh = toml_edit::Table::new();
        fresh.set_implicit(true);
        table = table
            .entry(key)
            .or_insert(toml_edit::Item::Table(fresh))
            .as_table_like_mut()
            .ok_or_else(|| format!("`{key}` is no table"))?;
    }
    if let Some(own) = table.get_mut(NAME).and_then(toml_edit::Item::as_table_like_mut) {
        for key in REACHED {
            drop(own.remove(key));
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            if STARTED.contains(&key.as_str()) {
                own.insert(key, toml_edit::value(toml_value(value)));
            }
        }
        return Ok(document.to_string());
    }
    let mut own = toml_edit::Table::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        own.insert(key, toml_edit::value(toml_value(value)));
    }
    table.insert(NAME, toml_edit::Item::Table(own));
    Ok(document.to_string())
}

fn toml_value(value: &Value) -> toml_edit::Value {
    match value {
        Value::Array(items) => items.iter().map(toml_value).collect::<toml_edit::Array>().into(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

fn yaml(text: &str, dialect: Dialect, container: &[&str], value: &Value) -> String {
    let object = value.as_object().into_iter().flatten();
    let pairs: Vec<String> = object.map(|(key, value)| format!("{key}: {value}")).collect();
    let container = container.join(".");
    if dialect == Dialect::Continue {
        let list = pairs
            .iter()
            .enumerate()
            .map(|(n, pair)| if n == 0 { format!("- {pair}") } else { format!("  {pair}") });
        let first = format!("- name: {}", edit_yaml::quoted(NAME));
        return edit_yaml::put(text, &container, &first, &list.collect::<Vec<_>>());
    }
    let head = format!("{NAME}:");
    let block: Vec<String> =
        std::iter::once(head.clone()).chain(pairs.iter().map(|p| format!("  {p}"))).collect();
    edit_yaml::put(text, &container, &head, &block)
}

/// The new text must say what the old one said, and our entry beside it.
fn verify(
    old: &str,
    new: &str,
    format: Format,
    container: &[&str],
    value: &Value,
) -> Result<(), String> {
    let (before, after) = (read(old, format)?, read(new, format).map_err(|_ours| refused())?);
    if without_ours(before, container) == without_ours(after.clone(), container)
        && ours(&after, container) == Some(value)
    {
        Ok(())
    } else {
        Err(refused())
    }
}

fn read(text: &str, format: Format) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    let source: Arc<str> = "the file".into();
    let tree: Tree = format.parse(text, &source).map_err(|p| p.to_string())?;
    Ok(if matches!(tree.kind, Kind::Null) { json!({}) } else { tree.plain() })
}

fn refused() -> String {
    "its layout is unusual, so it is left as it is; add the entry by hand (`--print` shows it)"
        .to_owned()
}

fn ours<'v>(value: &'v Value, container: &[&str]) -> Option<&'v Value> {
    let inner = container.iter().try_fold(value, |v, key| v.get(key))?;
    match inner {
        Value::Array(items) => items.iter().find(|i| i.get("name") == Some(&json!(NAME))),
        other => other.get(NAME),
    }
}

/// The content without our entry, and without what is empty then.
fn without_ours(mut value: Value, container: &[&str]) -> Value {
    let mut keys = container.iter();
    let Some(first) = keys.next() else { return value };
    if let Some(inner) = value.get_mut(first) {
        match inner {
            Value::Array(items) => items.retain(|i| i.get("name") != Some(&json!(NAME))),
            Value::Object(map) => drop(map.shift_remove(NAME)),
            _ => {}
        }
        let empty = match inner {
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            other => other.is_null(),
        };
        if empty && let Some(map) = value.as_object_mut() {
            map.shift_remove(*first);
        }
    }
    value
}

/// How the entry in this text starts us, if there is one.
pub(crate) fn started(text: &str, dialect: Dialect, format: Format) -> Option<Start> {
    let value = read(text, format).ok()?;
    let entry = ours(&value, dialect.container())?;
    let command = entry.get("command").or_else(|| entry.get("cmd"))?;
    let texts = |list: &Value| -> Option<Vec<String>> {
        list.as_array()?.iter().map(|v| v.as_str().map(str::to_owned)).collect()
    };
    if let Some(mut list) = texts(command) {
        let args = list.split_off(1.min(list.len()));
        return Some(Start { command: list.pop()?, args });
    }
    Some(Start { command: command.as_str()?.to_owned(), args: texts(entry.get("args")?)? })
}
