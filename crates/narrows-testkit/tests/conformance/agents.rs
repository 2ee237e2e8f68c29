//! The suites against Narrows as a client: `drivers/client.mjs` is the agent that wants something,
//! Narrows is what speaks to the scenario's server.

use crate::house::{binary, npm_bin, repository};
use crate::judge::{expected, judge, warnings};
use crate::suites::{Found, suite};
use std::path::Path;
use tempfile::TempDir;

/// What a client must refuse: a scenario whose client ends well has failed, whatever its checks say.
const REFUSED: [&str; 7] = [
    "auth/scope-retry-limit",
    "auth/resource-mismatch",
    "auth/iss-supported-missing",
    "auth/iss-wrong-issuer",
    "auth/iss-unexpected",
    "auth/iss-normalized",
    "auth/metadata-issuer-mismatch",
];

/// The released suite fails a client that connects again more than half a second late. The newest
/// dropped that: it measures the machine. Both still fail a client that is early.
fn late(check: &crate::suites::Check) -> bool {
    check.id == "client-sse-retry-timing" && check.message.contains(" late ")
}

/// Scenarios whose client ended otherwise than it should.
fn ends(found: &Found, excused: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for scenario in found.scenarios.keys().map(String::as_str) {
        let printed = found.printed.get(scenario).map_or("", String::as_str);
        let end = printed.lines().find_map(|line| line.strip_prefix("ended: "));
        let should = if REFUSED.contains(&scenario) { "refused" } else { "well" };
        if end != Some(should) && !excused.contains(&scenario) {
            wrong.push(format!("{scenario}: the client ended {end:?}, not {should:?}"));
        }
    }
    wrong
}

fn passes(name: &str) {
    let suite = suite(name);
    let drivers = repository().join("crates/narrows-testkit/tests/conformance/drivers");
    let node = npm_bin("node");
    let mut path = vec![Path::new(&node).parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let turns = TempDir::new().unwrap();
    // The suite splits the command at spaces: a path could have one.
    let mut found = suite.of_client("node client.mjs", |command| {
        command.current_dir(drivers);
        command.env("NARROWS_BIN", binary("narrows"));
        command.env("CONFORMANCE_TURNS", turns.path());
        command.env("PATH", std::env::join_paths(path).unwrap());
    });
    for checks in found.scenarios.values_mut() {
        checks.retain(|check| !late(check));
    }
    let expected = expected(name);
    let mut wrong = judge(&found, &expected);
    wrong.extend(warnings(&found));
    let excused: Vec<&str> = expected.iter().map(|one| one.scenario.as_str()).collect();
    wrong.extend(ends(&found, &excused));
    let told = found.printed.iter();
    let told = told.filter(|(scenario, _)| wrong.iter().any(|text| text.starts_with(*scenario)));
    let told = told.map(|(scenario, text)| format!("--- {scenario}\n{text}"));
    let count = wrong.len();
    let lines: Vec<String> = wrong.iter().cloned().chain(told).collect();
    assert_eq!(count, 0, "{count} findings in {name}:\n{}", lines.join("\n"));
}

#[test]
fn the_released_suite() {
    passes("client, released");
}

#[test]
fn revision_2025_03_26() {
    passes("client, 2025-03-26");
}

#[test]
fn revision_2025_06_18() {
    passes("client, 2025-06-18");
}

#[test]
fn revision_2025_11_25() {
    passes("client, 2025-11-25");
}

#[test]
fn revision_2026_07_28() {
    passes("client, 2026-07-28");
}
