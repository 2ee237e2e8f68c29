//! JSON Schema of any dialect to a type; bounded, and never fetching anything.

use super::{Field, Type};
use serde_json::{Map, Value};
use std::cell::Cell;

const DEPTH_MAX: usize = 8;
const MEMBERS_MAX: usize = 200;
const UNION_MAX: usize = 40;
/// Nodes of one schema, references followed: what is beyond may be anything. Without it a schema
/// that refers to itself ten times grows tenfold at each level.
const NODES_MAX: usize = 2_000;
/// Literals of one choice; the others are told by their kind.
const LITERALS_MAX: usize = 100;
/// Literals of one schema, references followed: each copy of a choice counts.
const LITERALS_TOTAL_MAX: usize = 10_000;
/// Bytes of a literal; longer ones are told by their kind.
const LITERAL_BYTES_MAX: usize = 256;
/// Bytes of a name that count as one node more.
const NAME_BYTES: usize = 64;
/// Names of required members that are read of one object.
const REQUIRED_MAX: usize = 1_000;
/// Bytes of a reference; longer ones are not followed.
const REFERENCE_BYTES_MAX: usize = 1_024;

/// A schema as a type.
pub(crate) fn parse(schema: &Value) -> Type {
    let (left, literals) = (Cell::new(NODES_MAX), Cell::new(LITERALS_TOTAL_MAX));
    Parser { root: schema, left, literals }.at(schema, 0)
}

/// A tool's parameters, and whether it takes further ones.
pub(crate) fn parse_arguments(schema: &Value) -> (Vec<Field>, bool) {
    match parse(schema) {
        Type::Object { fields, rest } => (fields, rest.is_some()),
        Type::Union(types) => common(types),
        Type::Record(_) | Type::Any => (Vec::new(), open(schema)),
        _ => (Vec::new(), true),
    }
}

/// No properties at all: a tool without parameters, unless the schema says that it takes any.
fn open(schema: &Value) -> bool {
    schema.get("additionalProperties").is_some_and(|a| *a == Value::Bool(true) || a.is_object())
        || ["anyOf", "oneOf", "allOf", "$ref"].iter().any(|k| schema.get(k).is_some())
}

/// Alternatives of parameters: each member, required only if every alternative requires it.
fn common(types: Vec<Type>) -> (Vec<Field>, bool) {
    let mut all: Vec<Field> = Vec::new();
    let mut open = false;
    let count = types.len();
    let mut required: Vec<usize> = Vec::new();
    for ty in types {
        let Type::Object { fields, rest } = ty else { return (Vec::new(), true) };
        open |= rest.is_some();
        for field in fields {
            let at = all.iter().position(|f| f.name == field.name).unwrap_or_else(|| {
                all.push(field.clone());
                required.push(0);
                all.len() - 1
            });
            if let Some(times) = required.get_mut(at) {
                *times += usize::from(field.required);
            }
        }
    }
    for (field, times) in all.iter_mut().zip(required) {
        field.required = times == count;
    }
    (all, open)
}

struct Parser<'a> {
    root: &'a Value,
    left: Cell<usize>,
    literals: Cell<usize>,
}

impl Parser<'_> {
    fn at(&self, schema: &Value, depth: usize) -> Type {
        let Some(members) = schema.as_object() else { return Type::Any };
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if depth > DEPTH_MAX || left == 0 {
            return Type::Any;
        }
        if let Some(target) = members.get("$ref").and_then(Value::as_str) {
            return self.reference(target).map_or(Type::Any, |found| self.at(found, depth + 1));
        }
        if let Some(value) = members.get("const") {
            return self.literals(std::slice::from_ref(value));
        }
        if let Some(values) = members.get("enum").and_then(Value::as_array) {
            return self.literals(values);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(Value::Array(choices)) = members.get(key)
                && !members.contains_key("properties")
            {
                return self.union(choices, depth);
            }
        }
        if let Some(Value::Array(parts)) = members.get("allOf") {
            return self.all_of(parts, members, depth);
        }
        let ty = self.by_kind(members, depth);
        if members.get("nullable") == Some(&Value::Bool(true)) {
            return union(vec![ty, Type::Null]);
        }
        ty
    }

    /// A reference inside the document; anything else is not followed.
    fn reference(&self, target: &str) -> Option<&Value> {
        let pointer = target.strip_prefix('#').filter(|p| p.len() <= REFERENCE_BYTES_MAX)?;
        self.root.pointer(pointer)
    }

    fn union(&self, choices: &[Value], depth: usize) -> Type {
        union(choices.iter().take(UNION_MAX).map(|c| self.at(c, depth + 1)).collect())
    }

    /// Objects that must all fit are one object with every member.
    fn all_of(&self, parts: &[Value], members: &Map<String, Value>, depth: usize) -> Type {
        let mut fields: Vec<Field> = Vec::new();
        let mut rest = None;
        let own = members.contains_key("properties").then(|| self.object(members, depth));
        let parts = parts.iter().take(UNION_MAX).map(|p| self.at(p, depth + 1));
        for part in own.into_iter().chain(parts) {
            match part {
                Type::Object { fields: more, rest: further } => {
                    rest = rest.or(further);
                    for field in more {
                        match fields.iter_mut().find(|f| f.name == field.name) {
                            Some(known) => known.required |= field.required,
                            None => fields.push(field),
                        }
                    }
                }
                Type::Any | Type::Record(_) => {}
                other => return other,
            }
        }
        if fields.is_empty() { Type::Any } else { Type::Object { fields, rest } }
    }

    fn by_kind(&self, members: &Map<String, Value>, depth: usize) -> Type {
        match members.get("type") {
            Some(Value::String(kind)) => self.kind(kind, members, depth),
            Some(Value::Array(kinds)) => {
                let mut different: Vec<&str> = Vec::new();
                for kind in kinds.iter().take(UNION_MAX).filter_map(Value::as_str) {
                    if !different.contains(&kind) {
                        different.push(kind);
                    }
                }
                union(different.iter().map(|kind| self.kind(kind, members, depth)).collect())
            }
            _ if members.contains_key("properties") => self.object(members, depth),
            _ if members.contains_key("items") => self.kind("array", members, depth),
            _ => Type::Any,
        }
    }

    fn kind(&self, kind: &str, members: &Map<String, Value>, depth: usize) -> Type {
        match kind {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "integer" => Type::Integer,
            "number" | "float" => Type::Number,
            "string" => Type::String,
            "array" | "tuple" | "list" => self.array(members, depth),
            "object" | "dict" => self.object(members, depth),
            _ => Type::Any,
        }
    }

    fn array(&self, members: &Map<String, Value>, depth: usize) -> Type {
        let listed = members.get("prefixItems").or_else(|| members.get("items"));
        if let Some(Value::Array(items)) = listed {
            let fixed = members.get("prefixItems").is_none()
                || members.get("items") == Some(&Value::Bool(false));
            let types: Vec<Type> =
                items.iter().take(UNION_MAX).map(|i| self.at(i, depth + 1)).collect();
            return if fixed { Type::Tuple(types) } else { Type::Array(Box::new(union(types))) };
        }
        let item = members.get("items").map_or(Type::Any, |i| self.at(i, depth + 1));
        Type::Array(Box::new(item))
    }

    fn object(&self, members: &Map<String, Value>, depth: usize) -> Type {
        let rest = match members.get("additionalProperties") {
            Some(Value::Bool(true)) => Some(Box::new(Type::Any)),
            Some(schema @ Value::Object(_)) => Some(Box::new(self.at(schema, depth + 1))),
            _ if members.contains_key("patternProperties") => Some(Box::new(Type::Any)),
            _ => None,
        };
        let required: Vec<&str> =
            members.get("required").and_then(Value::as_array).map_or(Vec::new(), |r| {
                r.iter().take(REQUIRED_MAX).filter_map(Value::as_str).collect()
            });
        let fields: Vec<Field> = members
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .take(MEMBERS_MAX)
            // Parameters are all named, whatever the first of them grew to.
            .take_while(|_| depth == 0 || self.left.get() > 0)
            .map(|(name, schema)| {
                self.left.set(self.left.get().saturating_sub(name.len() / NAME_BYTES));
                Field {
                    name: name.clone(),
                    ty: self.at(schema, depth + 1),
                    required: required.contains(&name.as_str()),
                }
            })
            .collect();
        if fields.is_empty() {
            return Type::Record(rest.unwrap_or_else(|| Box::new(Type::Any)));
        }
        Type::Object { fields, rest }
    }

    /// A choice of plain values: the first of them, and whether there are more.
    fn literals(&self, values: &[Value]) -> Type {
        // Where the first are all plain and of one kind, so are the others.
        let read = values.get(..LITERALS_MAX + 1).unwrap_or(values);
        if read.is_empty() || read.iter().any(|v| v.is_object() || v.is_array()) {
            return Type::Any;
        }
        let fits = |v: &&Value| v.as_str().is_none_or(|text| text.len() <= LITERAL_BYTES_MAX);
        let most = LITERALS_MAX.min(self.literals.get());
        let shown: Vec<Value> = read.iter().filter(fits).take(most).cloned().collect();
        self.literals.set(self.literals.get() - shown.len());
        let more = shown.len() < values.len();
        match read {
            _ if !shown.is_empty() => Type::Literals { values: shown, more },
            _ if read.iter().all(Value::is_string) => Type::String,
            _ if read.iter().all(Value::is_number) => Type::Number,
            _ => Type::Any,
        }
    }
}

/// Alternatives, flattened, without repetition, and at most [`UNION_MAX`].
fn union(types: Vec<Type>) -> Type {
    let mut unique: Vec<Type> = Vec::new();
    let flat = types.into_iter().flat_map(|ty| match ty {
        Type::Union(inner) => inner,
        other => vec![other],
    });
    for ty in flat {
        match ty {
            Type::Any => return Type::Any,
            Type::Literals { values, more } => add_literals(&mut unique, values, more),
            other if unique.len() < UNION_MAX && !unique.contains(&other) => unique.push(other),
            _ => {}
        }
    }
    match unique.len() {
        0 => Type::Any,
        1 => unique.remove(0),
        _ => Type::Union(unique),
    }
}

/// All literals of a union stand together, where the first of them stood.
fn add_literals(union: &mut Vec<Type>, mut values: Vec<Value>, further: bool) {
    let known = union.iter_mut().find_map(|ty| match ty {
        Type::Literals { values, more } => Some((values, more)),
        _ => None,
    });
    let Some((known, more)) = known else {
        return union.push(Type::Literals { values, more: further });
    };
    values.retain(|value| !known.contains(value));
    let room = LITERALS_MAX.saturating_sub(known.len());
    *more |= further || values.len() > room;
    values.truncate(room);
    known.append(&mut values);
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::typing::Type;
    use crate::typing::typescript::{FULL, render};
    use serde_json::{Map, Value, json};

    fn typed(schema: &Value) -> String {
        render(&parse(schema), FULL)
    }

    #[test]
    fn schemas_of_every_kind_become_types() {
        for (schema, expected) in [
            (json!({"type": ["string", "null"]}), "string | null"),
            (json!({"type": "string", "nullable": true}), "string | null"),
            (json!({"enum": ["a", 1]}), "\"a\" | 1"),
            (json!({"const": "x"}), "\"x\""),
            (
                json!({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}}),
                "(string | number)[]",
            ),
            (
                json!({"type": "array", "prefixItems": [{"type": "string"}], "items": false}),
                "[string]",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "integer"}}),
                "Record<string, number>",
            ),
            (
                json!({"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": true}}]}),
                "{a: unknown; b?: unknown}",
            ),
            (
                json!({"type": "dict", "properties": {"a-b": {"type": "float"}}}),
                "{\"a-b\"?: number}",
            ),
            (json!({"$ref": "https://example.com/x"}), "unknown"),
            (json!(true), "unknown"),
        ] {
            assert_eq!(typed(&schema), expected, "{schema}");
        }
    }

    /// Objects, members and literals of a type.
    fn size(ty: &Type) -> usize {
        match ty {
            Type::Literals { values, .. } => {
                values.iter().map(|v| 1 + v.as_str().map_or(0, str::len)).sum()
            }
            Type::Array(inner) | Type::Record(inner) => 1 + size(inner),
            Type::Tuple(types) | Type::Union(types) => 1 + types.iter().map(size).sum::<usize>(),
            Type::Object { fields, .. } => {
                fields.iter().map(|f| f.name.len() + size(&f.ty)).sum::<usize>() + 1
            }
            _ => 1,
        }
    }

    #[test]
    fn a_definition_that_is_referred_to_everywhere_is_not_copied_without_end() {
        let members = |what: &Value| -> Value {
            (0..150).map(|i| (format!("m{i}"), what.clone())).collect::<Map<_, _>>().into()
        };
        let to = json!({"$ref": "#/$defs/d"});
        let many = |length: usize, count: usize| -> Vec<String> {
            (0..count).map(|i| format!("{i:length$}")).collect()
        };
        let kinds: Vec<&str> = ["object", "array"].into_iter().cycle().take(40_000).collect();
        let definitions = [
            json!({"enum": many(6, 30_000)}),
            json!({"enum": many(50_000, 4)}),
            json!({"const": "c".repeat(200_000)}),
            json!({"anyOf": (0..40).map(|i| json!({"enum": many(i, 200)})).collect::<Vec<_>>()}),
            json!({"properties": {"n".repeat(200_000): {}}}),
            json!({"type": kinds, "properties": {"a": to, "b": to}, "items": to}),
            json!({"description": "d".repeat(200_000)}),
        ];
        for definition in definitions {
            let inner = json!({"type": "object", "properties": members(&to)});
            let properties = members(&inner);
            let schema = json!({"properties": properties, "$defs": {"d": definition}});
            let size = size(&parse(&schema));
            assert!(size < 1_500_000, "{size}: {:.80}", schema["$defs"].to_string());
        }
    }

    #[test]
    fn of_many_literals_the_first_are_told_and_the_others_by_their_kind() {
        let words = |from: usize, to: usize| -> Vec<String> {
            (from..to).map(|i| format!("w{i}")).collect()
        };
        let text = typed(&json!({"enum": words(0, 250)}));
        assert!(text.ends_with("\"w98\" | \"w99\" | string"), "{text}");
        let merged = json!({"anyOf": [{"enum": words(0, 60)}, {"enum": words(50, 101)}]});
        let text = typed(&merged);
        assert!(text.ends_with("\"w99\" | string"), "{text}");
        assert_eq!(text.matches("\"w55\"").count(), 1, "{text}");
        let few = json!({"anyOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}, {"type": "null"}]});
        assert_eq!(typed(&few), "\"a\" | \"b\" | \"c\" | null");
        assert_eq!(typed(&json!({"enum": ["a", "x".repeat(1_000)]})), "\"a\" | string");
        assert_eq!(typed(&json!({"const": "x".repeat(1_000)})), "string");
        assert_eq!(typed(&json!({"type": ["string", "null", "string"]})), "string | null");
    }

    #[test]
    fn schemas_that_refer_to_themselves_end() {
        let members: Map<String, Value> =
            (0..50).map(|i| (format!("m{i}"), json!({"$ref": "#"}))).collect();
        let text = typed(&json!({"type": "object", "properties": members}));
        assert!(text.len() < 100_000, "{}", text.len());
    }
}
