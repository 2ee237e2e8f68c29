//! Values against JSON Schemas that strangers wrote, only where the work that a schema can cause is
//! bounded.

use crate::snapshot::ToolRef;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;
use serde_json::value::RawValue;

/// Errors of one value that are told.
const ERRORS_MAX: usize = 3;
/// Objects and arrays of a schema with every reference followed. Of 1,576 real tools all but
/// three stay below; beyond, the upstream judges.
const NODES_MAX: usize = 2_000;
/// Values of one array that count as one node more.
const SCALARS: usize = 50;
/// Nested objects, arrays and references of a schema.
const DEPTH_MAX: usize = 100;
/// Bytes of arguments that are compared with a schema; beyond, the upstream judges.
const ARGUMENTS_BYTES_MAX: usize = 64 << 10;
/// Bytes of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// What is wrong with arguments of `bytes` bytes, each with its place.
pub(crate) fn errors(tool: ToolRef<'_>, value: &Value, bytes: usize) -> Vec<String> {
    if bytes > ARGUMENTS_BYTES_MAX {
        return Vec::new();
    }
    match tool.tool.contract.whole(&tool.tool.spec.input_schema) {
        Some(validator) if !validator.is_valid(value) => {
            validator.iter_errors(value).take(ERRORS_MAX).map(|e| told(&e)).collect()
        }
        _ => Vec::new(),
    }
}

/// A schema that does not compile, or that could make us work without end, is no reason to refuse
/// a call: `None`. Patterns run in linear time, and nothing is fetched.
pub(crate) fn compile(schema: &Value) -> Option<Validator> {
    if !is_bounded(schema) {
        return None;
    }
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX);
    jsonschema::options().with_pattern_options(patterns).build(schema).ok()
}

/// Whether a JSON text fits a schema; what is wrong if not. A schema that is none lets all through.
pub fn fits_schema(schema: &RawValue, json: &str) -> Result<(), String> {
    let read = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| e.to_string());
    let (schema, value) = (read(schema.get())?, read(json)?);
    let Some(validator) = compile(&schema) else { return Ok(()) };
    let errors: Vec<String> =
        validator.iter_errors(&value).take(ERRORS_MAX).map(|e| told(&e)).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

/// What is wrong, in one short line: `"ajar" is not one of "open" or "closed"`.
pub(crate) fn reason(error: &ValidationError<'_>) -> String {
    narrows_types::fault::clip(crate::typing::clean(&error.to_string()), 160)
}

/// An error with its place: `filter.state: "ajar" is not one of "open" or "closed"`.
fn told(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let place = place.trim_start_matches('/').replace('/', ".");
    let text = reason(error);
    if place.is_empty() { text } else { format!("{place}: {text}") }
}

/// Whether a schema, with every reference followed, is a finite tree of a bearable size. A schema
/// that refers to itself can make a validator recurse without end, or branch at every level.
fn is_bounded(schema: &Value) -> bool {
    let mut walk = Walk { root: schema, left: NODES_MAX, depth: 0, within: Vec::new() };
    walk.visit(schema)
}

struct Walk<'s> {
    root: &'s Value,
    left: usize,
    depth: usize,
    /// References that are being followed.
    within: Vec<&'s str>,
}

impl<'s> Walk<'s> {
    fn visit(&mut self, schema: &'s Value) -> bool {
        if !schema.is_object() && !schema.is_array() {
            return true;
        }
        if self.left == 0 || self.depth == DEPTH_MAX {
            return false;
        }
        // A choice of very many values is copied wherever it is referred to.
        let scalars = schema.as_array().map_or(0, |items| items.len() / SCALARS);
        self.left = (self.left - 1).saturating_sub(scalars);
        self.depth += 1;
        let bounded = match schema {
            Value::Object(members) => members.iter().all(|(key, value)| match key.as_str() {
                "$ref" => self.follow(value),
                // These make references mean something else than where they point to.
                "$dynamicRef" | "$recursiveRef" => false,
                "$id" | "id" if value.is_string() => self.depth == 1,
                _ => self.visit(value),
            }),
            Value::Array(items) => items.iter().all(|item| self.visit(item)),
            _ => true,
        };
        self.depth -= 1;
        bounded
    }

    fn follow(&mut self, target: &'s Value) -> bool {
        // A parameter may be called "$ref": then this is its schema.
        let Some(target) = target.as_str() else { return self.visit(target) };
        let Some(pointer) = target.strip_prefix('#') else { return false };
        let Some(schema) = self.root.pointer(pointer) else { return false };
        if self.within.contains(&target) {
            return false;
        }
        self.within.push(target);
        let bounded = self.visit(schema);
        self.within.pop();
        bounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_that_could_cause_endless_work_are_left_to_the_upstream() {
        let mut doubling = serde_json::Map::new();
        for level in 0..40 {
            let next = json!({"$ref": format!("#/$defs/l{}", level + 1)});
            doubling.insert(format!("l{level}"), json!({"anyOf": [next, next]}));
        }
        doubling.insert("l40".to_owned(), json!({"type": "string"}));
        let wide: Vec<usize> = (0..20_000).collect();
        let members: serde_json::Map<_, _> =
            (0..100).map(|i| (format!("m{i}"), json!({"$ref": "#/$defs/wide"}))).collect();
        let hostile = [
            json!({"properties": members, "$defs": {"wide": {"enum": wide}}}),
            json!({"$ref": "#"}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
            json!({"properties": {"a": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}}),
            json!({"$ref": "#/$defs/l0", "$defs": doubling}),
            json!({"$ref": "http://127.0.0.1:9/schema"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"properties": {"a": {"$id": "x:y", "$ref": "#/b"}}, "b": {}}),
            json!({"properties": {"a": {"type": "string", "pattern": "^(?=a+$)(a+)+$"}}}),
            json!({"properties": {"a": {"type": "string", "pattern": "((a{1000}){1000}){1000}"}}}),
        ];
        for schema in hostile {
            assert!(compile(&schema).is_none(), "{schema}");
        }
    }

    #[test]
    fn ordinary_references_and_patterns_are_judged() {
        let schema = json!({
            "properties": {
                "a": {"$ref": "#/$defs/a"},
                "b": {"$ref": "#/$defs/a"},
                "$ref": {"type": "string"},
            },
            "$defs": {"a": {"type": "string", "pattern": "^(a+)+$"}},
        });
        let validator = compile(&schema).expect("bounded");
        assert!(validator.is_valid(&json!({"a": "aaa", "b": "a"})));
        let slow = format!("{}b", "a".repeat(50_000));
        assert!(!validator.is_valid(&json!({"a": slow})));
    }
}
