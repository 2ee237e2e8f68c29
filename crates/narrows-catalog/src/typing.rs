//! JSON Schema to types, and types to TypeScript and Python.

mod parse;
pub(crate) mod python;
pub(crate) mod typescript;

use crate::check::Parameters;
use crate::snapshot::{Catalog, ToolRef};
use narrows_types::Language;
use serde_json::Value;

pub(crate) use parse::{parse, parse_arguments};

/// A type that both languages can say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Any,
    Null,
    Boolean,
    Integer,
    Number,
    String,
    /// These values, and perhaps more of their kind.
    Literals {
        values: Vec<Value>,
        more: bool,
    },
    Array(Box<Type>),
    Tuple(Vec<Type>),
    Object {
        fields: Vec<Field>,
        rest: Option<Box<Type>>,
    },
    Record(Box<Type>),
    Union(Vec<Type>),
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) required: bool,
}

/// How much a rendering may say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detail {
    /// Nesting of objects.
    pub(crate) depth: usize,
    /// Literals of one union.
    pub(crate) literals: usize,
    /// Optional members of one object; required ones are never left out.
    pub(crate) optional: usize,
    /// Members of a nested object or a result.
    pub(crate) members: usize,
}

/// For one line in a search result.
pub(crate) const COMPACT: Detail = Detail { depth: 2, literals: 6, optional: 8, members: 8 };

/// The type of what a tool gives, and whether it was only observed.
fn result(tool: ToolRef<'_>) -> (Type, bool) {
    match (&tool.tool.spec.output_schema, &tool.tool.observed) {
        (Some(schema), _) => (parse(schema), false),
        (None, Some(shape)) => (shape.to_type(), true),
        (None, None) => (Type::Any, false),
    }
}

/// `(owner, repo, state?)`.
pub(crate) fn brief(fields: &[Field]) -> String {
    let mut names: Vec<String> = fields
        .iter()
        .filter(|f| f.required)
        .map(|f| clean(&f.name))
        .chain(fields.iter().filter(|f| !f.required).map(|f| format!("{}?", clean(&f.name))))
        .collect();
    if names.len() > 12 {
        names.truncate(12);
        names.push("...".to_owned());
    }
    format!("({})", names.join(", "))
}

/// One line: how a tool is called and what it gives.
pub(crate) fn signature(tool: ToolRef<'_>, language: Language) -> String {
    let Parameters { fields, open, .. } = tool.parameters();
    let (result, observed) = result(tool);
    match language {
        Language::TypeScript => {
            typescript::signature(&tool.call(), fields, *open, &result, observed)
        }
        Language::Python => python::signature(&tool.call(), fields, *open, &result, observed),
    }
}

/// Declarations of everything.
pub(crate) fn whole(catalog: &Catalog, language: Language) -> String {
    match language {
        Language::TypeScript => typescript::whole(catalog),
        Language::Python => python::whole(catalog),
    }
}

/// Untrusted text for a place inside code: one line, no control or direction characters.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .filter(|c| !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
        .collect()
}
