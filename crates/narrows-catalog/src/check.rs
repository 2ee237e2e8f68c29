//! What a program refers to, against what there is: every finding at once, each with its fix.

mod arguments;
mod contract;
mod own;
mod schema;

use crate::snapshot::{Catalog, Server, ToolRef, short};
use narrows_types::{Fault, Finding, Language, Reference, Uses};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashSet};

pub(crate) use contract::{Contract, Parameters};
#[cfg(test)]
pub(crate) use schema::compile;
pub use schema::fits_schema;

/// Findings of one program.
const FINDINGS_MAX: usize = 50;

/// The outcome of a check.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Free names that are upstreams, as the program wrote them.
    pub namespaces: Vec<String>,
    /// What is wrong, in order of position.
    pub findings: Vec<Finding>,
}

pub(crate) fn check(catalog: &Catalog, uses: &Uses, language: Language) -> Checked {
    let mut namespaces = BTreeSet::new();
    let mut findings: Vec<Finding> = Vec::new();
    let mut references: Vec<&Reference> = uses.references.iter().collect();
    references.sort_by_key(|reference| reference.at);
    // A name that does not exist is told once, where it stands first.
    let mut told: HashSet<(&str, Option<&str>)> = HashSet::new();
    for reference in references {
        let root = reference.root.as_str();
        let member = reference.path.first().map(String::as_str);
        let server = catalog.find_server(root);
        if server.is_some() {
            namespaces.insert(root.to_owned());
        }
        if findings.len() >= FINDINGS_MAX {
            continue;
        }
        let finding = match (server, member) {
            (None, _) if reference.guarded => None,
            (None, _) if own::has(root) => own::misused(reference),
            (None, _) => told.insert((root, None)).then(|| unknown_root(catalog, reference)),
            (Some(server), None) if reference.arguments.is_some() => {
                Some(not_a_function(server, reference))
            }
            (Some(_), None) => None,
            (Some(server), Some(member)) => match server.tool(member) {
                Some(tool) => {
                    let tool = ToolRef { server, tool };
                    if let (1, Some(arguments)) = (reference.path.len(), &reference.arguments) {
                        let at = reference.at;
                        arguments::check(catalog, tool, arguments, at, language, &mut findings);
                    }
                    None
                }
                // Nothing is known of a server that is not listed yet: its calls are checked
                // when they are made.
                None if server.tools.is_empty() || reference.guarded => None,
                None => told
                    .insert((root, Some(member)))
                    .then(|| unknown_tool(catalog, server, member, reference)),
            },
        };
        findings.extend(finding);
    }
    findings.sort_by_key(|f| f.at);
    findings.dedup();
    findings.truncate(FINDINGS_MAX);
    Checked { namespaces: namespaces.into_iter().collect(), findings }
}

fn not_a_function(server: &Server, reference: &Reference) -> Finding {
    let ident = &server.ident;
    let fix = match server.tools.first() {
        Some(tool) => format!("call a tool of it, such as {ident}.{}", tool.ident),
        None => "find its tools with search".to_owned(),
    };
    let message = format!("{ident} is a server, no function; {fix}");
    Finding { at: reference.at, message }
}

fn unknown_root(catalog: &Catalog, reference: &Reference) -> Finding {
    let near = catalog.nearest_servers(&reference.root);
    let fix = if near.is_empty() {
        format!("servers: {}", catalog.server_names())
    } else {
        format!("did you mean {}?", near.join(" or "))
    };
    let message = format!("{} is not defined; {fix}", short(&reference.root));
    Finding { at: reference.at, message }
}

fn unknown_tool(
    catalog: &Catalog,
    server: &Server,
    member: &str,
    reference: &Reference,
) -> Finding {
    let near = catalog.nearest_tools(server, member);
    let fix = if near.is_empty() {
        let mut names: Vec<&str> = server.tools.iter().map(|t| t.ident.as_str()).collect();
        names.truncate(10);
        format!("it has {}", names.join(", "))
    } else {
        format!("nearest: {}", near.join(", "))
    };
    let message = format!("{}.{} does not exist; {fix}", server.ident, short(member));
    Finding { at: reference.at, message }
}

/// Checks the arguments of a call that is about to be made.
pub(crate) fn validate(
    catalog: &Catalog,
    tool: ToolRef<'_>,
    arguments: &RawValue,
) -> Result<(), Fault> {
    let text = arguments.get();
    let value: Value = serde_json::from_str(text)
        .map_err(|e| Fault::invalid(format!("the arguments are not JSON: {e}")))?;
    if !value.is_object() {
        let message = format!("{}: the arguments must be an object", tool.call());
        return Err(Fault::invalid(message).hint(catalog.brief(tool)));
    }
    let errors = schema::errors(tool, &value, text.len());
    if errors.is_empty() {
        return Ok(());
    }
    let message = format!("{}: {}", tool.call(), errors.join("; "));
    let hint = format!("parameters: {}", catalog.brief(tool));
    Err(Fault::invalid(message).hint(hint))
}

#[cfg(test)]
mod tests;
