//! What a program refers to, against what there is: every finding at once, each with its fix.

mod arguments;

use crate::snapshot::{Catalog, Server, ToolRef, short};
use narrows_types::{Fault, Finding, Kind, Language, Origin, Reference, Uses};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Findings of one program.
const FINDINGS_MAX: usize = 50;
/// Errors of one call's arguments that are told.
const ERRORS_MAX: usize = 3;

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
    for reference in &uses.references {
        match catalog.find_server(&reference.root) {
            Some(server) => {
                namespaces.insert(reference.root.clone());
                tool(catalog, server, reference, language, &mut findings);
            }
            None if reference.guarded => {}
            None => findings.push(unknown_root(catalog, reference)),
        }
    }
    findings.sort_by_key(|f| f.at);
    findings.dedup();
    findings.truncate(FINDINGS_MAX);
    Checked { namespaces: namespaces.into_iter().collect(), findings }
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

fn tool(
    catalog: &Catalog,
    server: &Server,
    reference: &Reference,
    language: Language,
    findings: &mut Vec<Finding>,
) {
    // Nothing is known of a server that is not listed yet: its calls are checked when made.
    let Some(member) = reference.path.first().filter(|_| !server.tools.is_empty()) else { return };
    let Some(found) = server.tool(member) else {
        if !reference.guarded {
            findings.push(unknown_tool(catalog, server, member, reference));
        }
        return;
    };
    let tool = ToolRef { server, tool: found };
    if let (1, Some(arguments)) = (reference.path.len(), &reference.arguments) {
        arguments::check(catalog, tool, arguments, reference.at, language, findings);
    }
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

/// Compiled schemas, each made when it is first needed.
pub(crate) struct Validators {
    compiled: Vec<OnceLock<Option<Box<jsonschema::Validator>>>>,
}

impl Validators {
    pub(crate) fn new(tools: usize) -> Self {
        Self { compiled: (0..tools).map(|_| OnceLock::new()).collect() }
    }

    /// A schema that does not compile is no reason to refuse a call.
    fn get(&self, tool: ToolRef<'_>) -> Option<&jsonschema::Validator> {
        let slot = self.compiled.get(tool.tool.number)?;
        let schema = &tool.tool.spec.input_schema;
        slot.get_or_init(|| jsonschema::validator_for(schema).ok().map(Box::new)).as_deref()
    }

    /// What is wrong with a value, each with its place; at most three.
    pub(crate) fn errors(&self, tool: ToolRef<'_>, value: &Value) -> Vec<String> {
        let Some(validator) = self.get(tool) else { return Vec::new() };
        if validator.is_valid(value) {
            return Vec::new();
        }
        validator
            .iter_errors(value)
            .take(ERRORS_MAX)
            .map(|error| {
                let place = error.instance_path().to_string();
                let place = place.trim_start_matches('/').replace('/', ".");
                let text = short_error(&error.to_string());
                if place.is_empty() { text } else { format!("{place}: {text}") }
            })
            .collect()
    }

    pub(crate) fn validate(
        &self,
        catalog: &Catalog,
        tool: ToolRef<'_>,
        arguments: &Value,
    ) -> Result<(), Fault> {
        if !arguments.is_object() {
            let message = format!("{}: the arguments must be an object", tool.call());
            return Err(Fault::invalid(message).hint(catalog.brief(tool)));
        }
        let errors = self.errors(tool, arguments);
        if errors.is_empty() {
            return Ok(());
        }
        let message = format!("{}: {}", tool.call(), errors.join("; "));
        let hint = format!("parameters: {}", catalog.brief(tool));
        Err(Fault::new(Kind::Invalid, Origin::Agent, message).hint(hint))
    }
}

fn short_error(text: &str) -> String {
    let clean = crate::typing::clean(text);
    narrows_types::fault::clip(clean, 160)
}

#[cfg(test)]
mod tests;
