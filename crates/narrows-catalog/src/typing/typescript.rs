//! Types as TypeScript.

use super::{COMPACT, Detail, Field, Type, clean, parse_arguments, result};
use crate::naming::is_identifier;
use crate::shape::first_sentence;
use crate::snapshot::{Catalog, ToolRef};
use serde_json::Value;
use std::fmt::Write as _;

/// For whole declaration files.
pub(crate) const FULL: Detail =
    Detail { depth: 8, literals: 100, optional: usize::MAX, members: usize::MAX };

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
        Type::Object { fields, rest } => object(fields, rest.as_deref(), detail, detail.members),
        Type::Union(types) => {
            let types: Vec<String> = types.iter().map(|t| render(t, detail)).collect();
            types.join(" | ")
        }
    }
}

fn literals(values: &[Value], more: bool, detail: Detail) -> String {
    let mut parts: Vec<String> =
        values.iter().take(detail.literals).map(|v| clean(&v.to_string())).collect();
    if more || values.len() > detail.literals {
        parts
            .push(if values.iter().all(Value::is_number) { "number" } else { "string" }.to_owned());
    }
    parts.join(" | ")
}

/// An object type; members beyond `most` are counted, required ones first.
fn object(fields: &[Field], rest: Option<&Type>, detail: Detail, most: usize) -> String {
    if detail.depth == 0 {
        return "object".to_owned();
    }
    let inner = Detail { depth: detail.depth - 1, ..detail };
    let mut ordered: Vec<&Field> = fields.iter().filter(|f| f.required).collect();
    ordered.extend(fields.iter().filter(|f| !f.required));
    let mut parts: Vec<String> = ordered.iter().take(most).map(|f| member(f, inner)).collect();
    if rest.is_some() && most == usize::MAX {
        parts.push("[key: string]: unknown".to_owned());
    }
    let mut text = format!("{{{}", parts.join("; "));
    if ordered.len() > most {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "; /* +{} more */", ordered.len() - most);
    }
    text.push('}');
    text
}

fn member(field: &Field, detail: Detail) -> String {
    let mark = if field.required { "" } else { "?" };
    format!("{}{mark}: {}", key(&field.name), render(&field.ty, detail))
}

fn key(name: &str) -> String {
    if is_identifier(name) { name.to_owned() } else { clean(&Value::from(name).to_string()) }
}

/// The parameter list of a tool.
fn parameters(arguments: &[Field], open: bool, detail: Detail) -> String {
    if arguments.is_empty() {
        return if open { "args?: Record<string, unknown>" } else { "" }.to_owned();
    }
    let required = arguments.iter().filter(|f| f.required).count();
    let optional = arguments.len() - required;
    let most = required + optional.min(detail.optional);
    let rest = open.then_some(&Type::Any);
    let mark = if required == 0 { "?" } else { "" };
    format!("args{mark}: {}", object(arguments, rest, detail, most))
}

/// One line for a search result.
pub(crate) fn signature(
    call: &str,
    arguments: &[Field],
    open: bool,
    result: &Type,
    observed: bool,
) -> String {
    let parameters = parameters(arguments, open, Detail { depth: COMPACT.depth + 1, ..COMPACT });
    let parameters = parameters.strip_prefix("args: ").unwrap_or(&parameters);
    let result = render(result, COMPACT);
    let mark = if observed { " /* observed */" } else { "" };
    format!("{call}({parameters}): {result}{mark}")
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
