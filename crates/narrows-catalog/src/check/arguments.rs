//! The arguments of one call, as far as they are known before it is made.

use crate::snapshot::{Catalog, ToolRef, short};
use crate::typing::{Field, clean};
use narrows_types::{Argument, Finding, Language, Literal, Position, nearest};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Names of parameters in one finding.
const NAMES_MAX: usize = 12;

/// What is known of the whole object of arguments.
struct Known<'a> {
    fields: Vec<(&'a str, Given<'a>, Position)>,
    open: bool,
}

/// What is known of one argument.
#[derive(Clone, Copy)]
enum Given<'a> {
    Literal(&'a Literal),
    Value(&'a Value),
}

pub(crate) fn check(
    catalog: &Catalog,
    tool: ToolRef<'_>,
    arguments: &[Argument],
    at: Position,
    language: Language,
    findings: &mut Vec<Finding>,
) {
    let known = match gather(arguments, at) {
        Gathered::Fields(known) => known,
        Gathered::Unknown => return,
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
    Unknown,
    Wrong(Position),
}

/// One object, or keywords; nothing is an empty object. The fields of a constant object all stand
/// where the call stands.
fn gather(arguments: &[Argument], at: Position) -> Gathered<'_> {
    if arguments.iter().any(|a| a.keyword.is_some()) {
        if let Some(positional) = arguments.iter().find(|a| a.keyword.is_none()) {
            return Gathered::Wrong(positional.at);
        }
        let open = arguments.iter().any(|a| a.keyword.as_deref() == Some(""));
        let fields = arguments
            .iter()
            .filter_map(|a| Some((a.keyword.as_deref()?, Given::Literal(&a.value), a.at)))
            .filter(|(name, ..)| !name.is_empty())
            .collect();
        return Gathered::Fields(Known { fields, open });
    }
    match arguments {
        [] => Gathered::Fields(Known { fields: Vec::new(), open: false }),
        [one] => match &one.value {
            Literal::Object { fields, open } => Gathered::Fields(of_object(fields, *open)),
            Literal::Known(Value::Object(members)) => {
                let fields = members.iter().map(|(k, v)| (k.as_str(), Given::Value(v), at));
                Gathered::Fields(Known { fields: fields.collect(), open: false })
            }
            Literal::Unknown => Gathered::Unknown,
            _ => Gathered::Wrong(one.at),
        },
        [_, second, ..] => Gathered::Wrong(second.at),
    }
}

fn of_object(fields: &[(String, Literal, Position)], open: bool) -> Known<'_> {
    let fields = fields.iter().map(|(k, v, at)| (k.as_str(), Given::Literal(v), *at));
    Known { fields: fields.collect(), open }
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
    let parameters = tool.parameters();
    let fields = &parameters.fields;
    let before = findings.len();
    for (name, _, place) in &known.fields {
        if findings.len() >= super::FINDINGS_MAX {
            return;
        }
        if !parameters.open && parameters.find(name).is_none() {
            let message = unknown_key(&tool.call(), name, fields);
            findings.push(Finding { at: *place, message });
        }
    }
    let missing: Vec<String> = fields
        .iter()
        .filter(|f| f.required && !known.fields.iter().any(|(name, ..)| *name == f.name))
        .map(|f| told(&f.name))
        .collect();
    if !known.open && !missing.is_empty() {
        let brief = catalog.brief(tool);
        let call = tool.call();
        let (first, others) = missing.split_at(missing.len().min(NAMES_MAX));
        let more = match others.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!("{call} lacks {}{more}; parameters: {brief}", first.join(", "));
        findings.push(Finding { at, message });
    }
    if findings.len() == before {
        values(catalog, tool, known, findings);
    }
}

/// The name of a parameter as its upstream wrote it, fit to be read.
fn told(name: &str) -> String {
    short(&clean(name))
}

fn unknown_key(call: &str, name: &str, fields: &[Field]) -> String {
    let near = nearest(name, fields.iter().map(|f| f.name.as_str()), 1);
    let fix = match near.first() {
        Some(near) => format!("did you mean {}?", told(near)),
        None if fields.is_empty() => "it has none".to_owned(),
        None => {
            let names: Vec<String> = fields.iter().map(|f| told(&f.name)).take(NAMES_MAX).collect();
            format!("it has {}", names.join(", "))
        }
    };
    format!("{call} has no parameter {}; {fix}", short(name))
}

/// Constant values against the schema of their parameter; each tells its place.
fn values(catalog: &Catalog, tool: ToolRef<'_>, known: &Known<'_>, findings: &mut Vec<Finding>) {
    let parameters = tool.parameters();
    for (name, given, place) in &known.fields {
        let Some(at) = parameters.find(name) else { continue };
        let value = match given {
            Given::Value(value) => Cow::Borrowed(*value),
            Given::Literal(literal) => match constant(literal) {
                Some(value) => value,
                None => continue,
            },
        };
        let validator = parameters.validator(at, &tool.tool.spec.input_schema);
        let Some(validator) = validator.filter(|v| !v.is_valid(&value)) else { continue };
        if let Err(error) = validator.validate(&value) {
            let inner = error.instance_path().to_string().replace('/', ".");
            let text = super::schema::reason(&error);
            let brief = catalog.brief(tool);
            let path = short(&format!("{}{inner}", told(name)));
            let message = format!("{}: {path}: {text}; parameters: {brief}", tool.call());
            findings.push(Finding { at: *place, message });
        }
    }
}

/// The value, if all of it is known.
fn constant(literal: &Literal) -> Option<Cow<'_, Value>> {
    match literal {
        Literal::Known(value) => Some(Cow::Borrowed(value)),
        Literal::Object { fields, open: false } => {
            let member = |(key, value, _): &(String, Literal, Position)| {
                Some((key.clone(), constant(value)?.into_owned()))
            };
            let members: Option<Map<String, Value>> = fields.iter().map(member).collect();
            members.map(|m| Cow::Owned(Value::Object(m)))
        }
        Literal::Array { items, open: false } => {
            let items = items.iter().map(|item| constant(item).map(Cow::into_owned));
            items.collect::<Option<Vec<Value>>>().map(|i| Cow::Owned(Value::Array(i)))
        }
        _ => None,
    }
}
