//! Reads a program: what it refers to, what is wrong with it, and the text that Monty runs.

use narrows_types::{Finding, Uses};
use ruff_python_parser::parse_module;

use super::gaps;
use super::guard;
use super::probe::Probe;
use super::reader::Reader;
use super::source::{Lines, Rewritten, Site};

/// Findings beyond these say nothing more to anybody.
const FINDINGS_MAX: usize = 50;

/// Names that every program has.
pub(super) const PRELUDE: [&str; 7] =
    ["input", "tools", "ToolError", "search", "artifact", "progress", "show"];

/// A program that was read.
#[derive(Debug)]
pub(super) struct Reading {
    /// For the host's check.
    pub(super) uses: Uses,
    /// What Monty runs.
    pub(super) rewritten: Rewritten,
    /// What the renamed call sites are; a site's index is in its name.
    pub(super) sites: Vec<Site>,
    /// It never awaits anything: then a call whose site tells nothing gives its result.
    pub(super) plain: bool,
}

/// Reads a program. With findings it must not run.
pub(super) fn read(code: &str) -> Reading {
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
    let probe = Probe::default();
    let mut findings = gaps::find(&module.body, &lines, &probe);
    let mut reader = Reader::new(&module.body, &lines, &probe);
    reader.read();
    let before = reader.before();
    let plain = !reader.flow.asynchronous();
    let Reader { mut references, findings: more, edits, sites, .. } = reader;
    findings.extend(more);
    findings.sort_by(|a, b| (a.at, &a.message).cmp(&(b.at, &b.message)));
    findings.dedup();
    findings.truncate(FINDINGS_MAX);
    references.sort_by_key(|reference| reference.at);
    let rewritten = Rewritten::new(&lines, &before, edits);
    Reading { uses: Uses { references, findings }, rewritten, sites, plain }
}

impl Reading {
    fn refused(lines: &Lines, finding: Finding) -> Self {
        let uses = Uses { references: Vec::new(), findings: vec![finding] };
        Self {
            uses,
            rewritten: Rewritten::new(lines, "", Vec::new()),
            sites: Vec::new(),
            plain: true,
        }
    }
}
