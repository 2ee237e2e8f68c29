//! One entry put into or replaced in a JSON file, all else left byte for byte, comments too.

use crate::config::parse_json;
use crate::config::tree::Tree;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The text with `value` at `path`. Fails with the reason if the text is no JSON or something on
/// the way is no object.
pub(crate) fn put(text: &str, path: &[&str], value: &Value) -> Result<String, String> {
    if text.trim().is_empty() {
        return Ok(pretty(&nested(path, value), "  ", "") + "\n");
    }
    let tree = parse(text)?;
    let mut inner = &tree;
    for (depth, key) in path.iter().enumerate() {
        if !inner.is_table() {
            return Err(format!(
                "`{}` is no object",
                path.get(..depth).unwrap_or_default().join(".")
            ));
        }
        let Some(next) = inner.get(key) else {
            let rest = path.get(depth + 1..).unwrap_or_default();
            return Ok(insert(text, inner, key, &nested(rest, value)));
        };
        inner = next;
    }
    let indent = indent_of_line(text, inner.span.0);
    let new = pretty(value, &unit(text), &indent);
    Ok(splice(text, inner.span, &new))
}

fn parse(text: &str) -> Result<Tree, String> {
    let source: Arc<str> = "the file".into();
    parse_json(text, &source).map_err(|p| p.to_string())
}

fn nested(path: &[&str], value: &Value) -> Value {
    path.iter().rev().fold(value.clone(), |inner, key| {
        Value::Object(Map::from_iter([((*key).to_owned(), inner)]))
    })
}

fn splice(text: &str, span: (usize, usize), new: &str) -> String {
    let before = text.get(..span.0).unwrap_or_default();
    let after = text.get(span.1..).unwrap_or_default();
    format!("{before}{new}{after}")
}

fn insert(text: &str, table: &Tree, key: &str, value: &Value) -> String {
    let quoted = Value::String(key.to_owned());
    let unit = unit(text);
    if let Some(last) = table.entries().last() {
        let end = last.value.span.1;
        let own_line = starts_its_line(text, last.key_span.0);
        let new = if own_line {
            let indent = indent_of_line(text, last.key_span.0);
            if let Some((comma, rest)) = comment_behind(text, end) {
                // The comment belongs to the last entry and stays beside it.
                let (lead, tail) = if comma { ("", ",") } else { (",", "") };
                let value = pretty(value, &unit, &indent);
                let new = format!("{lead}{rest}\n{indent}{quoted}: {value}{tail}");
                return splice(text, (end, end + rest.len()), &new);
            }
            format!(",\n{indent}{quoted}: {}", pretty(value, &unit, &indent))
        } else {
            format!(", {quoted}: {value}")
        };
        return splice(text, (end, end), &new);
    }
    // An empty object; a comment may stand in it, so its inside is kept.
    let outer = indent_of_line(text, table.span.0);
    let indent = format!("{outer}{unit}");
    let inside = text.get(table.span.0 + 1..table.span.1.saturating_sub(1)).unwrap_or_default();
    let inside = if inside.trim().is_empty() { "" } else { inside.trim_end() };
    let new = format!("{{{inside}\n{indent}{quoted}: {}\n{outer}}}", pretty(value, &unit, &indent));
    splice(text, table.span, &new)
}

/// What follows on the line if a `//` comment ends it, and whether a comma stands before that.
fn comment_behind(text: &str, end: usize) -> Option<(bool, &str)> {
    let rest = text.get(end..)?.lines().next()?;
    let trimmed = rest.trim_start();
    let bare = trimmed.strip_prefix(',').unwrap_or(trimmed).trim_start();
    bare.starts_with("//").then_some((trimmed.starts_with(','), rest))
}

/// The value over several lines, each further one behind `indent`.
fn pretty(value: &Value, unit: &str, indent: &str) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(unit.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    if serde::Serialize::serialize(value, &mut serializer).is_err() {
        return value.to_string();
    }
    String::from_utf8(out).unwrap_or_default().replace('\n', &format!("\n{indent}"))
}

/// What one level of the file is indented by.
fn unit(text: &str) -> String {
    let indented = text.lines().filter(|l| l.trim_start().starts_with('"'));
    let blanks = indented.map(|l| l.chars().take_while(|c| c.is_whitespace()).collect::<String>());
    blanks.filter(|b| !b.is_empty()).min_by_key(String::len).unwrap_or_else(|| "  ".to_owned())
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

fn indent_of_line(text: &str, at: usize) -> String {
    let line = text.get(line_start(text, at)..).unwrap_or_default();
    line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect()
}

fn starts_its_line(text: &str, at: usize) -> bool {
    let start = line_start(text, at);
    start > 0 && text.get(start..at).is_some_and(|before| before.trim().is_empty())
}

/// The text without the entry at `path`. Fails with the reason if it is not there.
pub(crate) fn remove(text: &str, path: &[&str]) -> Result<String, String> {
    let tree = parse(text)?;
    let (last, outer) = path.split_last().ok_or("nothing is named")?;
    let table = tree.at(outer).ok_or_else(|| format!("`{}` is not there", outer.join(".")))?;
    let entries = table.entries();
    let at = entries
        .iter()
        .position(|e| e.key == *last)
        .ok_or_else(|| format!("`{last}` is not there"))?;
    let entry = entries.get(at).ok_or("it is not there")?;
    let before = at.checked_sub(1).and_then(|n| entries.get(n));
    let span = match (before, entries.get(at + 1)) {
        // From here to the next key: its comma and the line break go with it.
        (_, Some(next)) => (entry.key_span.0, next.key_span.0),
        (Some(before), None) => (before.value.span.1, entry.value.span.1),
        (None, None) => (table.span.0 + 1, table.span.1.saturating_sub(1)),
    };
    let new = splice(text, span, "");
    parse(&new).map(|_| new)
}
