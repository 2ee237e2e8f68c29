//! What Narrows answers a program itself, under names that a server may have instead.

use crate::snapshot::short;
use narrows_types::{Finding, Reference};

/// The members of `session`.
const SESSION: [&str; 4] = ["get", "set", "delete", "list"];

/// The members of `scratch`.
const SCRATCH: [&str; 10] =
    ["write", "append", "read", "bytes", "list", "exists", "delete", "keep", "save", "load"];

/// What every function has.
const FUNCTION: [&str; 5] = ["call", "apply", "bind", "name", "length"];

/// A name that is ours if no server has it.
pub(super) fn has(name: &str) -> bool {
    ["ask", "scratch", "session"].contains(&name)
}

/// What is wrong with a use of a name that is ours.
pub(super) fn misused(reference: &Reference) -> Option<Finding> {
    let member = reference.path.first().map(String::as_str);
    let members: &[&str] = if reference.root == "scratch" { &SCRATCH } else { &SESSION };
    let message = match (reference.root.as_str(), member) {
        ("ask", Some(member)) if !FUNCTION.contains(&member) => {
            "ask is a function: write ask(\"question\")".to_owned()
        }
        (own @ ("scratch" | "session"), None) if reference.arguments.is_some() => {
            format!("{own} is no function; it has {}", listed(members))
        }
        (own @ ("scratch" | "session"), Some(member)) if !members.contains(&member) => {
            format!("{own}.{} does not exist; it has {}", short(member), listed(members))
        }
        _ => return None,
    };
    Some(Finding { at: reference.at, message })
}

/// Names as a sentence has them.
fn listed(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}
