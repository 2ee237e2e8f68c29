//! Types as TypeScript.

use super::{
    Detail, Field, Type, alternatives, choices, clean, clip, parse_arguments, result, shown,
};
use crate::check::Parameters;
use crate::naming::is_identifier;
use crate::shape::first_sentence;
use crate::snapshot::{Catalog, ToolRef};
use serde_json::Value;
use std::fmt::Write as _;

/// For whole declaration files.
pub(crate) const FULL: Detail = Detail {
    depth: 8,
    literals: 100,
    optional: usize::MAX,
    required: usize::MAX,
    members: usize::MAX,
    text: usize::MAX,
};

/// A type as TypeScript.
pub(crate) fn render(ty: &Type, detail: Detail) -> String {
    match ty {
        Type::Any => "unknown".to_owned(),
        Type::Null => "null".to_owned(),
        Type::Boolean => "boolean".to_owned(),
        Type::Integer | Type::Number => "number".to_owned(),
        Type::String => "string".to_owned(),
        Type::Literals { values, more } => literals(values, *more, detail),
        Type::Array(item) => {
            let inner = render(item, detail);
            match **item {
                Type::Union(_) | Type::Literals { .. } => format!("({inner})[]"),
                _ => format!("{inner}[]"),
            }
        }
        Type::Tuple(items) => {
            let items: Vec<String> = items.iter().map(|i| render(i, detail)).collect();
            format!("[{}]", items.join(", "))
        }
        Type::Record(value) => format!("Record<string, {}>", render(value, detail)),
        Type::Object { fields, rest } => object(fields, rest.is_some(), detail),
        Type::Union(types) => alternatives(types.iter().map(|t| render(t, detail))),
    }
}

fn literals(values: &[Value], more: bool, detail: Detail) -> String {
    let (shown, more) = choices(values, more, detail);
    let mut parts: Vec<String> = shown.iter().map(|v| clean(&v.to_string())).collect();
    if more {
        parts
            .push(if values.iter().all(Value::is_number) { "number" } else { "string" }.to_owned());
    }
    parts.join(" | ")
}

/// An object type; members beyond the detail are counted, required ones come first.
fn object(fields: &[Field], open: bool, detail: Detail) -> String {
    if detail.depth == 0 {
        return "object".to_owned();
    }
    let (required, optional): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|f| f.required);
    let ordered = required.into_iter().chain(optional).take(detail.members).collect();
    let more = fields.len().saturating_sub(detail.members);
    let more = (more > 0).then(|| format!("+{more} more"));
    braces(ordered, open && detail.members == usize::MAX, more, detail)
}

fn braces(fields: Vec<&Field>, open: bool, more: Option<String>, detail: Detail) -> String {
    let inner = Detail { depth: detail.depth.saturating_sub(1), ..detail };
    let mut parts: Vec<String> = fields.into_iter().map(|f| member(f, inner)).collect();
    if open {
        parts.push("[key: string]: unknown".to_owned());
    }
    parts.extend(more.map(|more| format!("/* {more} */")));
    format!("{{{}}}", parts.join("; "))
}

fn member(field: &Field, detail: Detail) -> String {
    let mark = if field.required { "" } else { "?" };
    format!("{}{mark}: {}", key(&field.name, detail), render(&field.ty, detail))
}

fn key(name: &str, detail: Detail) -> String {
    let name = clip(name.to_owned(), detail.text);
    if is_identifier(&name) { name } else { clean(&Value::from(name).to_string()) }
}

/// The parameter list of a tool.
fn parameters(arguments: &[Field], open: bool, detail: Detail) -> String {
    if arguments.is_empty() {
        return if open { "args?: Record<string, unknown>" } else { "" }.to_owned();
    }
    let mark = if arguments.iter().any(|f| f.required) { "" } else { "?" };
    let (fields, more) = shown(arguments, detail);
    let open = open && more.is_none() && detail.optional == usize::MAX;
    format!("args{mark}: {}", braces(fields, open, more, detail))
}

/// One line for a search result.
pub(crate) fn signature(
    call: &str,
    parameters: &Parameters,
    result: &Type,
    observed: bool,
    detail: Detail,
) -> String {
    let inner = Detail { depth: detail.depth + 1, ..detail };
    let arguments = self::parameters(&parameters.fields, parameters.open, inner);
    let arguments = arguments.strip_prefix("args: ").unwrap_or(&arguments);
    let result = render(result, detail);
    let mark = if observed { " /* observed */" } else { "" };
    format!("{call}({arguments}): {result}{mark}")
}

/// A `.d.ts` of everything.
pub(crate) fn whole(catalog: &Catalog) -> String {
    let mut text =
        String::from("// Every tool as a program sees it. Made by `narrows tools --typings`.\n");
    for server in catalog.servers() {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "\ndeclare namespace {} {{\n", server.ident);
        for tool in &server.tools {
            declaration(ToolRef { server, tool }, &mut text);
        }
        text.push_str("}\n");
    }
    text
}

fn declaration(tool: ToolRef<'_>, text: &mut String) {
    let (arguments, open) = parse_arguments(&tool.tool.spec.input_schema);
    let (result, observed) = result(tool);
    let about = tool.tool.spec.description.as_deref().unwrap_or_default();
    let about = first_sentence(about).replace("*/", "* /");
    let mark = if observed { " (result: observed)" } else { "" };
    // Writing to a string cannot fail.
    let _infallible = writeln!(
        text,
        "  /** {about}{mark} */\n  function {}({}): Promise<{}>;",
        tool.tool.ident,
        parameters(&arguments, open, FULL),
        render(&result, FULL),
    );
}
