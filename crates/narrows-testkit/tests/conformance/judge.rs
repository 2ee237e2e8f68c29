//! What the suites may find, and what they may not.

use crate::suites::{Found, suite};
use serde::Deserialize;

/// Checks that are known to fail, and why that is no fault of ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    suites: Vec<String>,
    pub(crate) scenario: String,
    checks: Vec<String>,
    why: String,
}

/// What is known to fail in the suite of that name.
pub(crate) fn expected(of: &str) -> Vec<Expected> {
    let all: Vec<Expected> = serde_json::from_str(include_str!("expected.json")).unwrap();
    for one in &all {
        assert!(one.why.len() > 20, "an expected failure says why: {one:?}");
        assert!(!one.checks.is_empty(), "an expected failure names its checks: {one:?}");
        // An entry for a suite that does not exist would never be stale.
        let known = one.suites.iter().map(|name| suite(&name.replace("own tools", "server")));
        assert_eq!(known.count(), one.suites.len());
    }
    all.into_iter().filter(|one| one.suites.iter().any(|name| name == of)).collect()
}

/// What fails and should not, and what should fail and does not.
pub(crate) fn judge(found: &Found, expected: &[Expected]) -> Vec<String> {
    let mut wrong = Vec::new();
    if found.checks("SUCCESS").is_empty() {
        wrong.push(format!("no check passed:\n{}", found.said));
    }
    let failed = found.checks("FAILURE");
    for check in &failed {
        let known =
            |one: &Expected| one.scenario == check.scenario && one.checks.contains(&check.id);
        if !expected.iter().any(known) {
            wrong.push(format!("{} {}: {}", check.scenario, check.id, check.message));
        }
    }
    for one in expected {
        for id in &one.checks {
            if !failed.iter().any(|check| one.scenario == check.scenario && *id == check.id) {
                wrong.push(format!("{} {id} passes now: mend expected.json", one.scenario));
            }
        }
    }
    wrong
}

/// What is no fault, but advice not taken.
pub(crate) fn warnings(found: &Found) -> Vec<String> {
    let warnings = found.checks("WARNING").into_iter();
    warnings
        .map(|check| format!("{} {} warns: {}", check.scenario, check.id, check.message))
        .collect()
}
