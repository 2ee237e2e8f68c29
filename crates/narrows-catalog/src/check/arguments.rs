//! The arguments of one call, as far as they are known before it is made.

use crate::snapshot::{Catalog, ToolRef, short};
use crate::typing::{Field, parse_arguments};
use narrows_types::{Argument, Finding, Language, Literal, Position, nearest};
use serde_json::{Map, Value};

/// What is known of the whole object of arguments.
struct Known<'a> {
    fields: Vec<(&'a str, &'a Literal, Position)>,
    open: bool,
}

pub(crate) fn check(
    catalog: &Catalog,
    tool: ToolRef<'_>,
    arguments: &[Argument],
    at: Position,
    language: Language,
    findings: &mut Vec<Finding>,
) {
    let holder;
    let known = match gather(arguments) {
        Gathered::Fields(known) => known,
        Gathered::Unknown => return,
        Gathered::Value(value) => {
            holder = expand(value, at);
            match &holder {
                Literal::Object { fields, open } => of_object(fields, *open),
                _ => return,
            }
        }
        Gathered::Wrong(at) => {
            let message = wrong(catalog, tool, language);
            findings.push(Finding { at, message });
            return;
        }
    };
    compare(catalog, tool, &known, at, findings);
}

enum Gathered<'a> {
    Fields(Known<'a>),
    Value(&'a Value),
    Unknown,
    Wrong(Position),
}

/// One object, or keywords; nothing is an empty object.
fn gather(arguments: &[Argument]) -> Gathered<'_> {
    if arguments.iter().any(|a| a.keyword.is_some()) {
        if let Some(positional) = arguments.iter().find(|a| a.keyword.is_none()) {
            return Gathered::Wrong(positional.at);
        }
        let open = arguments.iter().any(|a| a.keyword.as_deref() == Some(""));
        let fields = arguments
            .iter()
            .filter_map(|a| Some((a.keyword.as_deref()?, &a.value, a.at)))
            .filter(|(name, ..)| !name.is_empty())
            .collect();
        return Gathered::Fields(Known { fields, open });
    }
    match arguments {
        [] => Gathered::Fields(Known { fields: Vec::new(), open: false }),
        [one] => match &one.value {
            Literal::Object { fields, open } => Gathered::Fields(of_object(fields, *open)),
            Literal::Known(value @ Value::Object(_)) => Gathered::Value(value),
            Literal::Unknown => Gathered::Unknown,
            _ => Gathered::Wrong(one.at),
        },
        [_, second, ..] => Gathered::Wrong(second.at),
    }
}

fn of_object(fields: &[(String, Literal, Position)], open: bool) -> Known<'_> {
    Known { fields: fields.iter().map(|(k, v, at)| (k.as_str(), v, *at)).collect(), open }
}

/// A constant object as fields that all stand where the object stands.
fn expand(value: &Value, at: Position) -> Literal {
    let fields = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), Literal::Known(value.clone()), at))
        .collect();
    Literal::Object { fields, open: false }
}

fn wrong(catalog: &Catalog, tool: ToolRef<'_>, language: Language) -> String {
    let call = tool.call();
    let brief = catalog.brief(tool);
    match language {
        Language::TypeScript => {
            format!("{call} takes one object: {call}({{...}}) with {brief}")
        }
        Language::Python => {
            format!("{call} takes keyword arguments: {call}(name=value) with {brief}")
        }
    }
}

fn compare(
    catalog: &Catalog,
    tool: ToolRef<'_>,
    known: &Known<'_>,
    at: Position,
    findings: &mut Vec<Finding>,
) {
    let (fields, open) = parse_arguments(&tool.tool.spec.input_schema);
    let call = tool.call();
    let before = findings.len();
    for (name, _, place) in &known.fields {
        if !open && !fields.iter().any(|f| f.name == *name) {
            let message = unknown_key(&call, name, &fields);
            findings.push(Finding { at: *place, message });
        }
    }
    let missing: Vec<&str> = fields
        .iter()
        .filter(|f| f.required && !known.fields.iter().any(|(name, ..)| *name == f.name))
        .map(|f| f.name.as_str())
        .collect();
    if !known.open && !missing.is_empty() {
        let brief = catalog.brief(tool);
        let message = format!("{call} lacks {}; parameters: {brief}", missing.join(", "));
        findings.push(Finding { at, message });
    }
    if findings.len() == before {
        values(catalog, tool, known, findings);
    }
}

fn unknown_key(call: &str, name: &str, fields: &[Field]) -> String {
    let near = nearest(name, fields.iter().map(|f| f.name.as_str()), 1);
    let fix = match near.first() {
        Some(near) => format!("did you mean {near}?"),
        None if fields.is_empty() => "it has none".to_owned(),
        None => {
            let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).take(12).collect();
            format!("it has {}", names.join(", "))
        }
    };
    format!("{call} has no parameter {}; {fix}", short(name))
}

/// Constant values against the schema of their parameter; each tells its place.
fn values(catalog: &Catalog, tool: ToolRef<'_>, known: &Known<'_>, findings: &mut Vec<Finding>) {
    let schema = &tool.tool.spec.input_schema;
    for (name, literal, place) in &known.fields {
        let Some(value) = constant(literal) else { continue };
        let Some(single) = single(schema, name) else { continue };
        let Some(validator) = super::schema::compile(&single) else { continue };
        if let Err(error) = validator.validate(&value) {
            let inner = error.instance_path().to_string().replace('/', ".");
            let text = super::schema::reason(&error);
            let brief = catalog.brief(tool);
            let message = format!("{}: {name}{inner}: {text}; parameters: {brief}", tool.call());
            findings.push(Finding { at: *place, message });
        }
    }
}

/// The schema of one parameter, with the definitions that it may refer to.
fn single(schema: &Value, name: &str) -> Option<Value> {
    let property = schema.get("properties")?.get(name)?;
    let mut members: Map<String, Value> = property.as_object()?.clone();
    for key in ["$defs", "definitions", "$schema"] {
        if let Some(definitions) = schema.get(key) {
            members.entry(key).or_insert_with(|| definitions.clone());
        }
    }
    // Dialects that invent types are not judged.
    let invented = members.get("type").and_then(Value::as_str).is_some_and(|t| {
        !matches!(t, "null" | "boolean" | "integer" | "number" | "string" | "array" | "object")
    });
    if invented { None } else { Some(Value::Object(members)) }
}

/// The value, if all of it is known.
fn constant(literal: &Literal) -> Option<Value> {
    match literal {
        Literal::Known(value) => Some(value.clone()),
        Literal::Object { fields, open: false } => {
            let members: Option<Map<String, Value>> =
                fields.iter().map(|(k, v, _)| Some((k.clone(), constant(v)?))).collect();
            members.map(Value::Object)
        }
        Literal::Array { items, open: false } => {
            items.iter().map(constant).collect::<Option<Vec<Value>>>().map(Value::Array)
        }
        _ => None,
    }
}
