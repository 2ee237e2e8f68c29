//! Constant paths from a name: `github.list_issues`, `tools["my-store"]["list-x"]`.

use ruff_python_ast::{Expr, ExprName};
use ruff_text_size::{Ranged, TextRange};

use super::source::Lines;

/// One constant step of a path: `.name` or `["name"]`.
pub(super) struct Step {
    pub(super) name: String,
    /// What a renaming replaces.
    pub(super) range: TextRange,
    /// It stands in brackets, which Monty has not for a namespace.
    pub(super) index: bool,
}

/// The constant path from a name, and the first computed index on it.
pub(super) fn path_of<'a>(
    expr: &'a Expr,
    lines: &Lines,
) -> Option<(&'a ExprName, Vec<Step>, Option<&'a Expr>)> {
    let mut steps = Vec::new();
    let mut computed = None;
    let mut at = expr;
    loop {
        match at {
            Expr::Name(name) => {
                steps.reverse();
                return Some((name, steps, computed));
            }
            Expr::Attribute(attribute) => {
                let name = attribute.attr.to_string();
                steps.push(Step { name, range: attribute.attr.range, index: false });
                at = &attribute.value;
            }
            Expr::Subscript(subscript) => {
                match subscript.slice.as_ref() {
                    Expr::StringLiteral(name) => {
                        let end = subscript.end();
                        let range = TextRange::new(subscript.value.end(), end);
                        // A bracket around the value, as in (github)["x"], is no part of a name.
                        let plain = lines.text(range).trim_start().starts_with('[');
                        let name = name.value.to_str().to_owned();
                        steps.push(Step { name, range, index: true });
                        if !plain {
                            return None;
                        }
                    }
                    other => {
                        // What follows a computed index is no constant path.
                        steps.clear();
                        computed = Some(other);
                    }
                }
                at = &subscript.value;
            }
            _ => return None,
        }
    }
}
