//! What a tool takes: read and compiled once, when it is first needed, and kept for as long as
//! the tool's schema stays the same.

use super::schema::compile;
use crate::typing::{Field, parse_arguments};
use jsonschema::Validator;
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// The schema of a tool's arguments in the forms in which it is asked.
#[derive(Default)]
pub(crate) struct Contract {
    whole: OnceLock<Option<Box<Validator>>>,
    parameters: OnceLock<Parameters>,
}

/// A tool's parameters.
pub(crate) struct Parameters {
    pub(crate) fields: Vec<Field>,
    /// Whether the tool takes further ones.
    pub(crate) open: bool,
    /// Of each field, whether a value fits; made for those that a program gives.
    validators: Vec<OnceLock<Option<Box<Validator>>>>,
}

impl Contract {
    /// The judge of all arguments together. The schema must be the tool's.
    pub(crate) fn whole(&self, schema: &Value) -> Option<&Validator> {
        self.whole.get_or_init(|| compile(schema).map(Box::new)).as_deref()
    }

    /// The parameters. The schema must be the tool's.
    pub(crate) fn parameters(&self, schema: &Value) -> &Parameters {
        self.parameters.get_or_init(|| {
            let (fields, open) = parse_arguments(schema);
            let validators = fields.iter().map(|_| OnceLock::new()).collect();
            Parameters { fields, open, validators }
        })
    }
}

impl Parameters {
    /// The place of a parameter.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The judge of one parameter's value. The schema must be the tool's.
    pub(crate) fn validator(&self, at: usize, schema: &Value) -> Option<&Validator> {
        let (field, slot) = (self.fields.get(at)?, self.validators.get(at)?);
        let make = || compile(&single(schema, &field.name)?).map(Box::new);
        slot.get_or_init(make).as_deref()
    }
}

/// The schema of one parameter, with the definitions that it refers to.
fn single(schema: &Value, name: &str) -> Option<Value> {
    let property = schema.get("properties")?.get(name)?;
    let mut members: Map<String, Value> = property.as_object()?.clone();
    let definitions: &[&str] = if refers(property) { &["$defs", "definitions"] } else { &[] };
    for key in definitions.iter().copied().chain(["$schema"]) {
        if let Some(value) = schema.get(key) {
            members.entry(key).or_insert_with(|| value.clone());
        }
    }
    // Dialects that invent types are not judged.
    let invented = members.get("type").and_then(Value::as_str).is_some_and(|t| {
        !matches!(t, "null" | "boolean" | "integer" | "number" | "string" | "array" | "object")
    });
    if invented { None } else { Some(Value::Object(members)) }
}

/// Whether a schema may refer to something outside itself.
fn refers(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(k, v)| k == "$ref" || refers(v)),
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}
