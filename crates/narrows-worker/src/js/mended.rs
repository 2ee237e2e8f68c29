//! Two habits that would make a program give nothing: to define `main` and leave it at that, and to
//! end with a bare object, which JavaScript reads as a block.

use super::nesting;
use super::place::Lines;
use super::strip;
use oxc_allocator::Allocator;
use oxc_ast::ast::{BindingPattern, Declaration, Expression, FormalParameters, Program, Statement};
use std::borrow::Cow;

/// The program with its `main` called, or its last object in parentheses, where it means that.
pub(super) fn mended(code: Cow<'_, str>) -> Cow<'_, str> {
    if code.contains("main") && reads(&code, only_defines_main) {
        return Cow::Owned(format!("{code}\nmain()"));
    }
    match wrapped(&code) {
        Some(whole) if reads(&whole, |_| true) => Cow::Owned(whole),
        _ => code,
    }
}

/// Whether the text is a program that is of a kind.
fn reads(code: &str, kind: impl Fn(&Program<'_>) -> bool) -> bool {
    if nesting::too_deep(code).is_some() {
        return false;
    }
    let allocator = Allocator::default();
    strip::parse(&allocator, code, &Lines::new(code)).is_ok_and(|tree| kind(&tree.program))
}

/// The last object in parentheses, if the text ends with what looks like one.
fn wrapped(code: &str) -> Option<String> {
    let text = code.trim_end().trim_end_matches(';');
    let start = if text.starts_with('{') { 0 } else { text.rfind("\n{")? + 1 };
    let (before, object) = text.split_at_checked(start)?;
    let inside = object.strip_prefix('{')?.strip_suffix('}')?.trim_start();
    let key: &str = inside.split(':').next()?.trim();
    let named = key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '"' | '\''));
    let shape = inside.starts_with("...") || (inside.contains(':') && named && !key.is_empty());
    // Without the semicolon the line before would be called with it.
    shape.then(|| format!("{before};({object})"))
}

/// Nothing happens in it, and there is a `main` that asks for nothing.
fn only_defines_main(program: &Program<'_>) -> bool {
    program.body.iter().all(declares) && program.body.iter().any(is_main)
}

fn declares(statement: &Statement<'_>) -> bool {
    match statement {
        Statement::VariableDeclaration(variables) => variables.declarations.iter().all(|one| {
            one.init.as_ref().is_none_or(|value| {
                matches!(
                    value,
                    Expression::ArrowFunctionExpression(_) | Expression::FunctionExpression(_)
                ) || value.is_literal()
            })
        }),
        Statement::FunctionDeclaration(_) | Statement::ClassDeclaration(_) => true,
        other => other.as_declaration().is_some_and(Declaration::is_typescript_syntax),
    }
}

fn is_main(statement: &Statement<'_>) -> bool {
    match statement {
        Statement::FunctionDeclaration(function) => {
            function.id.as_ref().is_some_and(|id| id.name == "main") && takes_none(&function.params)
        }
        Statement::VariableDeclaration(variables) => variables.declarations.iter().any(|one| {
            let named =
                matches!(&one.id, BindingPattern::BindingIdentifier(id) if id.name == "main");
            named
                && match &one.init {
                    Some(Expression::ArrowFunctionExpression(f)) => takes_none(&f.params),
                    Some(Expression::FunctionExpression(f)) => takes_none(&f.params),
                    _ => false,
                }
        }),
        _ => false,
    }
}

fn takes_none(parameters: &FormalParameters<'_>) -> bool {
    parameters.items.is_empty()
}
