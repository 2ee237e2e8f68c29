//! Names on the wire become identifiers: deterministic, unique, reversible.

use std::collections::{BTreeMap, BTreeSet};

/// Words that no identifier can be in TypeScript or Python.
const RESERVED: &[&str] = &[
    "abstract",
    "and",
    "any",
    "arguments",
    "as",
    "assert",
    "async",
    "await",
    "boolean",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "constructor",
    "continue",
    "debugger",
    "declare",
    "def",
    "default",
    "del",
    "delete",
    "do",
    "elif",
    "else",
    "enum",
    "eval",
    "except",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "from",
    "function",
    "global",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "is",
    "lambda",
    "let",
    "module",
    "namespace",
    "new",
    "nonlocal",
    "not",
    "null",
    "or",
    "package",
    "pass",
    "private",
    "protected",
    "prototype",
    "public",
    "raise",
    "return",
    "static",
    "super",
    "switch",
    "then",
    "this",
    "throw",
    "true",
    "try",
    "type",
    "typeof",
    "undefined",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "None",
    "True",
    "False",
];

/// Names that the languages and the prelude use at the top level: no namespace can have them.
const TAKEN: &[&str] = &[
    "Array",
    "ArrayBuffer",
    "Atomics",
    "BigInt",
    "Boolean",
    "DataView",
    "Date",
    "Error",
    "Exception",
    "Function",
    "Infinity",
    "JSON",
    "Map",
    "Math",
    "NaN",
    "Number",
    "Object",
    "Promise",
    "Proxy",
    "Reflect",
    "RegExp",
    "Set",
    "String",
    "Symbol",
    "TextDecoder",
    "TextEncoder",
    "ToolError",
    "URL",
    "URLSearchParams",
    "WeakMap",
    "WeakSet",
    "abs",
    "all",
    "artifact",
    "asyncio",
    "atob",
    "bin",
    "bool",
    "btoa",
    "bytes",
    "chr",
    "console",
    "dict",
    "dir",
    "divmod",
    "enumerate",
    "exec",
    "filter",
    "float",
    "frozenset",
    "getattr",
    "globalThis",
    "hasattr",
    "hash",
    "hex",
    "id",
    "input",
    "int",
    "isinstance",
    "iter",
    "json",
    "len",
    "list",
    "map",
    "max",
    "min",
    "narrows",
    "next",
    "object",
    "oct",
    "open",
    "ord",
    "performance",
    "pow",
    "print",
    "progress",
    "range",
    "repr",
    "reversed",
    "round",
    "search",
    "self",
    "set",
    "setattr",
    "show",
    "slice",
    "sorted",
    "str",
    "sum",
    "tools",
    "tuple",
    "typing",
    "zip",
];

/// Of the reserved words those that both languages take after a dot and in a declaration: tools
/// may be called so.
const CONTEXTUAL: &[&str] =
    &["abstract", "any", "boolean", "declare", "module", "namespace", "type"];

/// What the identifiers name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Top-level names: upstreams.
    Namespace,
    /// Members of a namespace: tools.
    Member,
}

/// An identifier for each name, in the order given. Independent of that order, unique, and the
/// same for the same set of names.
pub(crate) fn identifiers(names: &[&str], place: Place) -> Vec<String> {
    let mut groups: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for name in names {
        groups.entry(plain(name, place)).or_default().insert(name);
    }
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut chosen: BTreeMap<&str, String> = BTreeMap::new();
    // A name that already is its identifier keeps it; only then others take what is left.
    for (ident, group) in &groups {
        if let Some(name) = group.get(ident.as_str()) {
            chosen.insert(name, ident.clone());
            used.insert(ident.clone());
        }
    }
    for (ident, group) in &groups {
        // A number that was taken stays taken: the search goes on where the last name left it,
        // or twenty thousand names of one group would cost their square.
        let mut number = 1_u32;
        for name in group.iter().filter(|n| **n != ident.as_str()) {
            let free = free(ident, &mut number, &used);
            used.insert(free.clone());
            chosen.insert(name, free);
        }
    }
    names.iter().map(|n| chosen.get(n).cloned().unwrap_or_default()).collect()
}

/// The first free one of `ident`, `ident_2`, `ident_3`, from `number` on.
fn free(ident: &str, number: &mut u32, used: &BTreeSet<String>) -> String {
    loop {
        let candidate = if *number == 1 { ident.to_owned() } else { format!("{ident}_{number}") };
        *number += 1;
        if !used.contains(&candidate) {
            return candidate;
        }
    }
}

/// The identifier of one name, were it alone.
fn plain(name: &str, place: Place) -> String {
    let mut ident: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if ident.is_empty() || ident.starts_with(|c: char| c.is_ascii_digit()) {
        ident.insert(0, '_');
    }
    // Names that start with two underscores mean something to both languages.
    if ident.starts_with("__") {
        ident.insert(0, 'x');
    }
    let word = ident.as_str();
    let taken = match place {
        Place::Namespace => TAKEN.contains(&word) || RESERVED.contains(&word),
        Place::Member => RESERVED.contains(&word) && !CONTEXTUAL.contains(&word),
    };
    if taken {
        ident.push('_');
    }
    ident
}

/// Whether a word can stand as a key or a keyword without quotes.
pub(crate) fn is_identifier(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether Python takes a word as a keyword argument.
pub(crate) fn is_keyword_argument(word: &str) -> bool {
    const PYTHON: &[&str] = &[
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class",
        "continue", "def", "del", "elif", "else", "except", "finally", "for", "from", "global",
        "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return",
        "try", "while", "with", "yield",
    ];
    is_identifier(word) && !PYTHON.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::{Place, identifiers, is_identifier};
    use proptest::prelude::*;

    #[test]
    fn names_become_identifiers() {
        let names = ["my-store", "git", "delete", "search", "2fa", "a.b", "a-b", "a_b", "", "time"];
        let idents = identifiers(&names, Place::Namespace);
        assert_eq!(
            idents,
            ["my_store", "git", "delete_", "search_", "_2fa", "a_b_3", "a_b_2", "a_b", "_", "time"]
        );
        assert_eq!(
            identifiers(&["search", "list", "from"], Place::Member),
            ["search", "list", "from_"]
        );
    }

    #[test]
    fn a_word_that_both_languages_take_after_a_dot_names_a_tool() {
        let words = ["any", "type", "module", "delete", "import", "then"];
        assert_eq!(
            identifiers(&words, Place::Member),
            ["any", "type", "module", "delete_", "import_", "then_"]
        );
        assert_eq!(identifiers(&["any", "type"], Place::Namespace), ["any_", "type_"]);
    }

    /// Names that cost their square ran for minutes here.
    #[test]
    fn names_that_all_become_one_identifier_are_numbered() {
        let names: Vec<String> = (0x4e00_u32..0x4e00 + 20_000)
            .filter_map(char::from_u32)
            .map(String::from)
            .chain(["_".to_owned(), "_7".to_owned()])
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let idents = identifiers(&names, Place::Member);
        assert_eq!(idents.first().map(String::as_str), Some("__2"));
        assert_eq!(idents.get(5).map(String::as_str), Some("__7"));
        let unique: std::collections::BTreeSet<&String> = idents.iter().collect();
        assert_eq!(unique.len(), names.len());
    }

    proptest! {
        #[test]
        fn identifiers_are_unique_valid_and_independent_of_order(
            names in proptest::collection::btree_set(".{0,12}", 0..30)
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let idents = identifiers(&names, Place::Namespace);
            let unique: std::collections::BTreeSet<&String> = idents.iter().collect();
            prop_assert_eq!(unique.len(), names.len());
            prop_assert!(idents.iter().all(|i| is_identifier(i)));
            let reversed: Vec<&str> = names.iter().rev().copied().collect();
            let mut again = identifiers(&reversed, Place::Namespace);
            again.reverse();
            prop_assert_eq!(idents, again);
        }
    }
}
