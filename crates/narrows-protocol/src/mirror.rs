//! Arguments that a tool wants repeated in headers (`x-mcp-header`, from 2026-07-28, over HTTP).
//!
//! Only properties that are reached through `properties` alone may be annotated, each with a name
//! of its own, and only strings, integers and booleans. A tool that breaks these rules is not to be
//! called over HTTP.

use crate::header;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The annotation in a property's schema.
const ANNOTATION: &str = "x-mcp-header";
/// Levels of a schema that are looked through.
const DEPTH_MAX: usize = 64;
/// Annotated properties of one tool.
const MIRRORS_MAX: usize = 64;
/// Bytes of a header's value.
const VALUE_BYTES_MAX: usize = 8 << 10;
/// Integers beyond are not exact in every language.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// One annotated property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The header's whole name, lower case.
    pub header: String,
    /// Where the argument is.
    pub path: Vec<String>,
}

/// The annotated properties of a tool's input schema; the error says which rule is broken.
pub fn mirrors(schema: &Value) -> Result<Vec<Mirror>, String> {
    let mut search = Search { found: Vec::new(), names: HashSet::new() };
    search.object(schema, &mut Vec::new(), 0)?;
    Ok(search.found)
}

/// The headers of a call: names and encoded values. Absent and null arguments have none.
pub fn headers(mirrors: &[Mirror], arguments: &Value) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    for mirror in mirrors {
        let mut value = Some(arguments);
        for key in &mirror.path {
            value = value.and_then(|value| value.get(key));
        }
        let text = match value {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::Number(number)) => integer(number).ok_or_else(|| {
                format!("{} is no exact integer: {number}", mirror.path.join("."))
            })?,
            Some(_) => return Err(format!("{} fits no header", mirror.path.join("."))),
        };
        if text.len() > VALUE_BYTES_MAX {
            let (path, size) = (mirror.path.join("."), text.len());
            return Err(format!("{path} has {size} bytes; a header has {VALUE_BYTES_MAX}"));
        }
        headers.push((mirror.header.clone(), header::encode(&text)));
    }
    Ok(headers)
}

fn integer(number: &serde_json::Number) -> Option<String> {
    let exact = match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Some(whole.to_string()),
        // 42.0 is an integer to JSON Schema.
        (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9e15 => {
            Some(format!("{float:.0}"))
        }
        _ => None,
    };
    let fits = number.as_i64().is_none_or(|whole| whole.unsigned_abs() <= INTEGER_MAX);
    exact.filter(|_| fits)
}

struct Search {
    found: Vec<Mirror>,
    names: HashSet<String>,
}

impl Search {
    /// Looks through a schema that the walk reached by `properties` alone.
    fn object(
        &mut self,
        schema: &Value,
        path: &mut Vec<String>,
        depth: usize,
    ) -> Result<(), String> {
        let Some(members) = schema.as_object() else { return Ok(()) };
        for (key, value) in members {
            match (key.as_str(), value.as_object()) {
                ("properties", Some(properties)) => self.properties(properties, path, depth)?,
                // These hold values, not schemas.
                ("default" | "const" | "enum" | "examples" | "required", _) => {}
                _ => unreachable_ones(value, depth + 1)?,
            }
        }
        Ok(())
    }

    fn properties(
        &mut self,
        properties: &Map<String, Value>,
        path: &mut Vec<String>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("its schema is deeper than {DEPTH_MAX} levels"));
        }
        for (name, schema) in properties {
            path.push(name.clone());
            if let Some(annotation) = schema.get(ANNOTATION) {
                self.take(annotation, schema, path)?;
            }
            self.object(schema, path, depth + 1)?;
            path.pop();
        }
        Ok(())
    }

    fn take(&mut self, annotation: &Value, schema: &Value, path: &[String]) -> Result<(), String> {
        let place = path.join(".");
        let name = annotation.as_str().filter(|name| is_token(name));
        let Some(name) = name else {
            return Err(format!("the {ANNOTATION} of {place} is no header name"));
        };
        let name = name.to_ascii_lowercase();
        let kind = schema.get("type").and_then(Value::as_str).unwrap_or("nothing");
        if !matches!(kind, "string" | "integer" | "boolean") {
            return Err(format!("the {ANNOTATION} of {place} is on a property of type {kind}"));
        }
        if !self.names.insert(name.clone()) {
            return Err(format!("the {ANNOTATION} {name} is used twice"));
        }
        if self.found.len() >= MIRRORS_MAX {
            return Err(format!("more than {MIRRORS_MAX} properties have an {ANNOTATION}"));
        }
        self.found.push(Mirror { header: format!("{}{name}", header::PARAM), path: path.to_vec() });
        Ok(())
    }
}

/// Refuses annotations where no argument can be found by its path alone.
fn unreachable_ones(value: &Value, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("its schema is deeper than {DEPTH_MAX} levels"));
    }
    match value {
        Value::Object(members) => {
            if members.contains_key(ANNOTATION) {
                return Err(format!("an {ANNOTATION} stands where no plain property is"));
            }
            members.values().try_for_each(|member| unreachable_ones(member, depth + 1))
        }
        Value::Array(items) => items.iter().try_for_each(|item| unreachable_ones(item, depth + 1)),
        _ => Ok(()),
    }
}

/// A token of RFC 9110.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::{headers, mirrors};
    use serde_json::{Value, json};

    fn schema(properties: &Value) -> Value {
        json!({"type": "object", "properties": properties})
    }

    #[test]
    fn annotated_arguments_become_headers() {
        let schema = schema(&json!({
            "region": {"type": "string", "x-mcp-header": "Region"},
            "options": {"type": "object", "properties": {
                "limit": {"type": "integer", "x-mcp-header": "Limit"},
                "dry": {"type": "boolean", "x-mcp-header": "Dry"}}},
            "absent": {"type": "string", "x-mcp-header": "Absent"},
            "null": {"type": "string", "x-mcp-header": "Null"},
            "plain": {"type": "string"}
        }));
        let found = mirrors(&schema).unwrap();
        let arguments = json!({"region": "k\u{f6}ln", "null": null, "plain": "x",
            "options": {"limit": 42, "dry": true}});
        let headers = headers(&found, &arguments).unwrap();
        let expected = [
            ("mcp-param-region", "=?base64?a8O2bG4=?="),
            ("mcp-param-limit", "42"),
            ("mcp-param-dry", "true"),
        ];
        assert_eq!(headers, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_breaks_the_rules_is_told() {
        for (properties, why) in [
            (json!({"a": {"type": "number", "x-mcp-header": "A"}}), "of type number"),
            (json!({"a": {"x-mcp-header": "A"}}), "of type nothing"),
            (json!({"a": {"type": "string", "x-mcp-header": ""}}), "no header name"),
            (json!({"a": {"type": "string", "x-mcp-header": "a b"}}), "no header name"),
            (json!({"a": {"type": "string", "x-mcp-header": 5}}), "no header name"),
            (
                json!({"a": {"type": "string", "x-mcp-header": "A"},
                       "b": {"type": "string", "x-mcp-header": "a"}}),
                "used twice",
            ),
            (
                json!({"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}),
                "no plain property",
            ),
            (
                json!({"a": {"anyOf": [{"type": "string", "x-mcp-header": "A"}]}}),
                "no plain property",
            ),
        ] {
            let error = mirrors(&schema(&properties)).unwrap_err();
            assert!(error.contains(why), "{properties}: {error}");
        }
        let found =
            mirrors(&schema(&json!({"n": {"type": "integer", "x-mcp-header": "N"}}))).unwrap();
        assert!(headers(&found, &json!({"n": 1.5})).is_err());
        assert!(headers(&found, &json!({"n": 9_007_199_254_740_993_i64})).is_err());
        assert_eq!(headers(&found, &json!({"n": 42.0})).unwrap()[0].1, "42");
        assert!(headers(&found, &json!({"n": [1]})).is_err());
    }
}
