//! Reads a program: what it refers to, what is wrong with it, and the text that Monty runs.

use narrows_types::{Finding, Uses};
use ruff_python_ast::Stmt;
use ruff_python_parser::parse_module;

use std::collections::HashSet;

use super::gaps;
use super::guard;
use super::probe::Probe;
use super::reader::Reader;
use super::source::{Lines, Rewritten, Site};
use crate::fence::unfenced;

/// Findings beyond these say nothing more to anybody.
const FINDINGS_MAX: usize = 50;

/// Names that every program has.
pub(super) const PRELUDE: [&str; 7] =
    ["input", "tools", "ToolError", "search", "artifact", "progress", "show"];

/// A program that was read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// For the host's check.
    pub(crate) uses: Uses,
    /// What is evaluated.
    pub(crate) rewritten: Rewritten,
    /// What the renamed call sites are; a site's index is in its name.
    pub(crate) sites: Vec<Site>,
    /// It never awaits anything: then a call whose site tells nothing gives its result.
    pub(crate) plain: bool,
    /// The names that it binds at its outermost level.
    pub(crate) names: Vec<String>,
}

/// What earlier programs of the same session left.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The names that they bound at their outermost level.
    pub(super) names: HashSet<String>,
    /// How many call sites of theirs were renamed.
    pub(super) sites: usize,
}

/// Reads a program. With findings it must not run.
pub(crate) fn read(code: &str, probe: &Probe) -> Reading {
    read_after(code, probe, &Known::default())
}

/// Reads a program that runs after others.
pub(super) fn read_after(code: &str, probe: &Probe, known: &Known) -> Reading {
    read_text(&unfenced(code), (probe, known), true)
}

/// `calls_main`: a program that only defines `main` means that it is to be called.
fn read_text(code: &str, (probe, known): (&Probe, &Known), calls_main: bool) -> Reading {
    let lines = Lines::new(code);
    if let Some(finding) = guard::too_deep(code) {
        return Reading::refused(&lines, finding);
    }
    let module = match parse_module(code) {
        Ok(parsed) => parsed.into_syntax(),
        Err(error) => {
            let at = lines.at(error.location.start());
            let message = format!("syntax error: {}", error.error).to_lowercase();
            return Reading::refused(&lines, Finding { at, message });
        }
    };
    if let Some(call) = main_call(&module.body).filter(|_| calls_main) {
        return read_text(&format!("{code}\n{call}"), (probe, known), false);
    }
    let mut findings =
        if probe.is_complete() { Vec::new() } else { gaps::find(&module.body, &lines, probe) };
    let mut reader = Reader::new(&module.body, &lines, (probe, known));
    reader.read();
    let before = reader.before();
    let plain = !reader.flow.asynchronous();
    let names = reader.outermost_names();
    let Reader { mut references, findings: more, edits, sites, .. } = reader;
    findings.extend(more);
    findings.sort_by(|a, b| (a.at, &a.message).cmp(&(b.at, &b.message)));
    findings.dedup();
    findings.truncate(FINDINGS_MAX);
    references.sort_by_key(|reference| reference.at);
    let rewritten = Rewritten::new(&lines, &before, edits);
    Reading { uses: Uses { references, findings }, rewritten, sites, plain, names }
}

/// The call of `main` that is missing, where nothing happens in a program and there is a `main` that
/// asks for nothing.
fn main_call(body: &[Stmt]) -> Option<&'static str> {
    let quiet = |stmt: &Stmt| match stmt {
        Stmt::FunctionDef(_) | Stmt::ClassDef(_) | Stmt::Import(_) | Stmt::ImportFrom(_) => true,
        Stmt::Expr(text) => text.value.is_string_literal_expr(),
        Stmt::Assign(constant) => constant.value.is_literal_expr(),
        _ => false,
    };
    if !body.iter().all(quiet) {
        return None;
    }
    body.iter().find_map(|stmt| {
        let Stmt::FunctionDef(function) = stmt else { return None };
        let asks = function.parameters.iter_non_variadic_params().any(|p| p.default.is_none());
        let main = function.name.as_str() == "main" && !asks;
        main.then_some(if function.is_async { "await main()" } else { "main()" })
    })
}

impl Reading {
    fn refused(lines: &Lines, finding: Finding) -> Self {
        let uses = Uses { references: Vec::new(), findings: vec![finding] };
        Self {
            uses,
            rewritten: Rewritten::new(lines, "", Vec::new()),
            sites: Vec::new(),
            plain: true,
            names: Vec::new(),
        }
    }
}
