//! JSON Schema to types, and types to TypeScript and Python.

mod parse;
pub(crate) mod python;
pub(crate) mod typescript;

use crate::snapshot::{Catalog, ToolRef};
use narrows_types::Language;
use narrows_types::fault::clip;
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
    /// Optional parameters.
    pub(crate) optional: usize,
    /// Required parameters.
    pub(crate) required: usize,
    /// Members of a nested object or a result.
    pub(crate) members: usize,
    /// Bytes of a name or a literal.
    pub(crate) text: usize,
}

/// For one line in a search result.
pub(crate) const COMPACT: Detail = Detail {
    depth: 2,
    literals: 6,
    optional: 8,
    required: usize::MAX,
    members: 8,
    text: NAME_BYTES_MAX,
};
/// Bytes of a name or a literal in what a model reads.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of a signature, if it can be said in fewer words.
const SIGNATURE_BYTES_MAX: usize = 1_024;
/// How to say it in fewer words: nesting, literals, optional parameters, members and, only then,
/// required parameters.
const SHORTER: [[usize; 5]; 6] = [
    [1, 6, 8, 8, usize::MAX],
    [1, 3, 6, 4, usize::MAX],
    [0, 3, 6, 4, usize::MAX],
    [0, 2, 0, 2, 24],
    [0, 1, 0, 1, 12],
    [0, 1, 0, 1, 6],
];

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
    let name = |field: &Field| clip(clean(&field.name), NAME_BYTES_MAX);
    let required = fields.iter().filter(|f| f.required).map(name);
    let optional = fields.iter().filter(|f| !f.required).map(|f| format!("{}?", name(f)));
    let mut names: Vec<String> = required.chain(optional).take(13).collect();
    if names.len() > 12 {
        names.truncate(12);
        names.push("...".to_owned());
    }
    format!("({})", names.join(", "))
}

/// One line: how a tool is called and what it gives, in about a kilobyte whatever it takes.
pub(crate) fn signature(tool: ToolRef<'_>, language: Language) -> String {
    let (result, observed) = result(tool);
    let parameters = tool.parameters();
    let say = |detail: Detail| match language {
        Language::TypeScript => {
            typescript::signature(&tool.call(), parameters, &result, observed, detail)
        }
        Language::Python => python::signature(&tool.call(), parameters, &result, observed, detail),
    };
    let mut text = say(COMPACT);
    for [depth, literals, optional, members, required] in SHORTER {
        if text.len() <= SIGNATURE_BYTES_MAX {
            break;
        }
        text = say(Detail { depth, literals, optional, required, members, text: NAME_BYTES_MAX });
    }
    // Only a result of very many alternatives comes here longer.
    clip(text, 2 * SIGNATURE_BYTES_MAX)
}

/// The parameters that are shown, required ones first, and what is said of the others.
fn shown(fields: &[Field], detail: Detail) -> (Vec<&Field>, Option<String>) {
    let (required, optional): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|f| f.required);
    let mut left: Vec<String> = Vec::new();
    for (all, most, kind) in
        [(&required, detail.required, " required"), (&optional, detail.optional, "")]
    {
        let more = all.len().saturating_sub(most);
        if more > 0 {
            left.push(format!("+{more} more{kind}"));
        }
    }
    let required = required.into_iter().take(detail.required);
    let shown = required.chain(optional.into_iter().take(detail.optional)).collect();
    (shown, (!left.is_empty()).then(|| left.join(", ")))
}

/// The literals that are shown, and whether there are more of their kind.
fn choices(values: &[Value], more: bool, detail: Detail) -> (Vec<&Value>, bool) {
    let short = |v: &&Value| v.as_str().is_none_or(|text| text.len() <= detail.text);
    let shown: Vec<&Value> = values.iter().filter(short).take(detail.literals).collect();
    let more = more || shown.len() < values.len();
    (shown, more)
}

/// Alternatives that read the same are one.
fn alternatives(types: impl Iterator<Item = String>) -> String {
    let mut different: Vec<String> = Vec::new();
    for ty in types {
        if !different.contains(&ty) {
            different.push(ty);
        }
    }
    different.join(" | ")
}

/// Declarations of everything.
pub(crate) fn whole(catalog: &Catalog, language: Language) -> String {
    match language {
        Language::TypeScript => typescript::whole(catalog),
        Language::Python => python::whole(catalog),
    }
}

/// Untrusted text for a place inside code: one line, and nothing that is not seen, for it could
/// hide or reorder what is.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .filter(|c| !is_unseen(*c))
        .collect()
}

/// Characters that leave no mark: joiners, direction marks, fillers, variation selectors, tags.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests;
