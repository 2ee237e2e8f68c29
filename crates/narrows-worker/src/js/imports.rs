//! `import ... from`, where an engine has modules: a program is a function's body, so what it imports
//! is fetched before its first line.

use oxc_ast::ast::{ImportDeclaration, ImportDeclarationSpecifier, Program, Statement, WithClause};

/// The function of the engine's that fetches a module and looks for the names that are asked of it.
const FETCH: &str = "$narrows_imported";

/// Takes the imports out of a program that is JavaScript already, and gives what stands for them: all
/// in one line, so that no line of the program moves. `None`: there are none.
pub(super) fn take(program: &mut Program<'_>) -> Option<String> {
    let mut text: Option<String> = None;
    program.body.retain(|statement| {
        let Statement::ImportDeclaration(import) = statement else { return true };
        text.get_or_insert_default().push_str(&fetched(import));
        false
    });
    text
}

/// The parameters of the function that a program becomes.
pub(super) fn parameters(imports: bool) -> &'static str {
    if imports { FETCH } else { "" }
}

fn fetched(import: &ImportDeclaration<'_>) -> String {
    let (mut names, mut bound, mut all) = (Vec::new(), Vec::new(), None);
    for specifier in import.specifiers.iter().flatten() {
        let name = match specifier {
            ImportDeclarationSpecifier::ImportSpecifier(it) => quoted(&it.imported.name()),
            ImportDeclarationSpecifier::ImportDefaultSpecifier(_) => quoted("default"),
            ImportDeclarationSpecifier::ImportNamespaceSpecifier(it) => {
                all = Some(it.local.name);
                continue;
            }
        };
        bound.push(format!("{name}: {}", specifier.local().name));
        names.push(name);
    }
    let source = quoted(&import.source.value);
    let attributes = import.with_clause.as_ref().map_or_else(String::new, |with| attributes(with));
    let fetched = format!("await {FETCH}({source}, [{}]{attributes})", names.join(", "));
    let apart = format!("{{ {} }}", bound.join(", "));
    match all {
        Some(all) if bound.is_empty() => format!("const {all} = {fetched};"),
        Some(all) => format!("const {all} = {fetched}, {apart} = {all};"),
        None if bound.is_empty() => format!("{fetched};"),
        None => format!("const {apart} = {fetched};"),
    }
}

/// `with { type: "json" }`, as one more argument.
fn attributes(with: &WithClause<'_>) -> String {
    let entries = with.with_entries.iter();
    let entries = entries
        .map(|it| format!("{}: {}", quoted(&it.key.as_arena_str()), quoted(&it.value.value)));
    format!(", {{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

/// A text as JavaScript writes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
#[path = "tests/imports.rs"]
mod tests;
