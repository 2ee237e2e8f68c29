//! Types as Python.

use super::{
    COMPACT, Detail, Field, Type, alternatives, choices, clean, clip, parse_arguments, result,
    shown,
};
use crate::check::Parameters;
use crate::naming::is_keyword_argument;
use crate::shape::first_sentence;
use crate::snapshot::{Catalog, ToolRef};
use serde_json::Value;
use std::fmt::Write as _;

/// A type as Python; objects as what their members are, which only a reader needs.
fn render(ty: &Type, detail: Detail) -> String {
    match ty {
        Type::Any => "Any".to_owned(),
        Type::Null => "None".to_owned(),
        Type::Boolean => "bool".to_owned(),
        Type::Integer => "int".to_owned(),
        Type::Number => "float".to_owned(),
        Type::String => "str".to_owned(),
        Type::Literals { values, more } => literals(values, *more, detail),
        Type::Array(item) => format!("list[{}]", render(item, detail)),
        Type::Tuple(items) => {
            let items: Vec<String> = items.iter().map(|i| render(i, detail)).collect();
            format!("tuple[{}]", items.join(", "))
        }
        Type::Record(value) => format!("dict[str, {}]", render(value, detail)),
        Type::Object { fields, .. } => object(fields, detail),
        Type::Union(types) => alternatives(types.iter().map(|t| render(t, detail))),
    }
}

fn object(fields: &[Field], detail: Detail) -> String {
    if detail.depth == 0 {
        return "dict".to_owned();
    }
    let inner = Detail { depth: detail.depth - 1, ..detail };
    let mut ordered: Vec<&Field> = fields.iter().filter(|f| f.required).collect();
    ordered.extend(fields.iter().filter(|f| !f.required));
    let mut parts: Vec<String> = ordered
        .iter()
        .take(detail.members)
        .map(|f| {
            let mark = if f.required { "" } else { "?" };
            format!("{}{mark}: {}", key(&f.name, detail), render(&f.ty, inner))
        })
        .collect();
    if ordered.len() > detail.members {
        parts.push(format!("+{} more", ordered.len() - detail.members));
    }
    format!("{{{}}}", parts.join(", "))
}

fn key(name: &str, detail: Detail) -> String {
    clean(&Value::from(clip(name.to_owned(), detail.text)).to_string())
}

fn literals(values: &[Value], more: bool, detail: Detail) -> String {
    let (shown, more) = choices(values, more, detail);
    if more || values.iter().any(Value::is_f64) {
        return plain(values).to_owned();
    }
    let parts: Vec<String> = shown.into_iter().map(literal).collect();
    format!("Literal[{}]", parts.join(", "))
}

fn literal(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => clean(&other.to_string()),
    }
}

fn plain(values: &[Value]) -> &'static str {
    if values.iter().all(Value::is_string) {
        "str"
    } else if values.iter().all(Value::is_i64) {
        "int"
    } else {
        "Any"
    }
}

/// One line for a search result.
pub(crate) fn signature(
    call: &str,
    parameters: &Parameters,
    result: &Type,
    observed: bool,
    detail: Detail,
) -> String {
    let (fields, more) = shown(&parameters.fields, detail);
    let mut parts: Vec<String> = fields
        .iter()
        .map(|f| {
            let default = if f.required { "" } else { " = ..." };
            let name = if is_keyword_argument(&f.name) && f.name.len() <= detail.text {
                f.name.clone()
            } else {
                format!("**{{{}}}", key(&f.name, detail))
            };
            format!("{name}: {}{default}", render(&f.ty, detail))
        })
        .collect();
    parts.extend(more);
    if parameters.open {
        parts.push("**more".to_owned());
    }
    let mark = if observed { "  # observed" } else { "" };
    format!("{call}({}) -> {}{mark}", parts.join(", "), render(result, detail))
}

/// A type for the stubs: precise where Python says it without naming a class.
fn stub(ty: &Type) -> String {
    match ty {
        Type::Object { .. } => "dict[str, Any]".to_owned(),
        Type::Literals { values, more } => {
            literals(values, *more, Detail { literals: 100, text: usize::MAX, ..COMPACT })
        }
        Type::Array(item) => format!("list[{}]", stub(item)),
        Type::Tuple(items) if items.is_empty() => "list[Any]".to_owned(),
        Type::Tuple(items) => {
            let items: Vec<String> = items.iter().map(stub).collect();
            format!("tuple[{}] | list[Any]", items.join(", "))
        }
        Type::Record(value) => format!("dict[str, {}]", stub(value)),
        Type::Union(types) => {
            let types: Vec<String> = types.iter().map(stub).collect();
            types.join(" | ")
        }
        scalar => render(scalar, COMPACT),
    }
}

/// A `.pyi` of everything.
pub(crate) fn whole(catalog: &Catalog) -> String {
    let mut text = String::from(
        "# Every tool as a program sees it. Made by `narrows tools --typings --language python`.\n\
         import builtins\nfrom builtins import bool, dict, float, int, list, str, tuple\n\
         from typing import Any, Literal\n",
    );
    for (number, server) in catalog.servers().enumerate() {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "\nclass _Server{number}:\n");
        if server.tools.is_empty() {
            text.push_str("    pass\n");
        }
        for tool in &server.tools {
            declaration(ToolRef { server, tool }, &mut text);
        }
        let _infallible = writeln!(text, "\n{}: _Server{number}", server.ident);
    }
    text
}

fn declaration(tool: ToolRef<'_>, text: &mut String) {
    let (arguments, open) = parse_arguments(&tool.tool.spec.input_schema);
    let (result, _) = result(tool);
    let mut parts = vec!["self".to_owned()];
    let named: Vec<&Field> = arguments.iter().filter(|f| is_keyword_argument(&f.name)).collect();
    if !named.is_empty() {
        parts.push("*".to_owned());
    }
    for field in &named {
        let default = if field.required { "" } else { " = ..." };
        parts.push(format!("{}: {}{default}", field.name, stub(&field.ty)));
    }
    if open || named.len() < arguments.len() {
        parts.push("**more: Any".to_owned());
    }
    let about = tool.tool.spec.description.as_deref().unwrap_or_default();
    let about = first_sentence(about).replace('\\', "/").replace("\"\"\"", "'''");
    let about = about.trim_end_matches('"');
    // Writing to a string cannot fail.
    let _infallible = writeln!(
        text,
        "    async def {}({}) -> {}:\n        \"\"\"{about} \"\"\"",
        tool.tool.ident,
        parts.join(", "),
        stub(&result),
    );
}
