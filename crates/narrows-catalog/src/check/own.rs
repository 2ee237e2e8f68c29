//! What Narrows answers a program itself, under names that a server may have instead.

use crate::snapshot::short;
use narrows_types::{Finding, Reference};

/// The members of `session`.
const SESSION: [&str; 4] = ["get", "set", "delete", "list"];

/// What every function has.
const FUNCTION: [&str; 5] = ["call", "apply", "bind", "name", "length"];

/// A name that is ours if no server has it.
pub(super) fn has(name: &str) -> bool {
    ["ask", "session"].contains(&name)
}

/// What is wrong with a use of a name that is ours.
pub(super) fn misused(reference: &Reference) -> Option<Finding> {
    let member = reference.path.first().map(String::as_str);
    let members = "it has get, set, delete and list";
    let message = match (reference.root.as_str(), member) {
        ("ask", Some(member)) if !FUNCTION.contains(&member) => {
            "ask is a function: write ask(\"question\")".to_owned()
        }
        ("session", None) if reference.arguments.is_some() => {
            format!("session is no function; {members}")
        }
        ("session", Some(member)) if !SESSION.contains(&member) => {
            format!("session.{} does not exist; {members}", short(member))
        }
        _ => return None,
    };
    Some(Finding { at: reference.at, message })
}
