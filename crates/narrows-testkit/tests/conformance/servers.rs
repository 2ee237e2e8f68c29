//! The suites against Narrows as a server: every check passes, and what comes back is what the
//! upstream itself answers.

use crate::compare::differences;
use crate::fixture::{Fixture, served};
use crate::suites::{Found, SUITES, Suite};
use crate::tap::Tap;
use serde::Deserialize;
use serde_json::json;

/// A check that is known to fail, and why that is no fault of ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    suite: String,
    scenario: String,
    check: String,
    why: String,
}

fn expected(suite: Suite) -> Vec<Expected> {
    let all: Vec<Expected> = serde_json::from_str(include_str!("expected.json")).unwrap();
    assert!(all.iter().all(|one| one.why.len() > 20), "an expected failure says why");
    all.into_iter().filter(|one| one.suite == suite.name).collect()
}

/// What fails and should not, and what should fail and does not.
fn judge(suite: Suite, found: &Found, expected: &[Expected]) -> Vec<String> {
    let mut wrong = Vec::new();
    if found.scenarios.len() < suite.scenarios_min || found.checks("SUCCESS").is_empty() {
        wrong.push(format!("only {} scenarios ran:\n{}", found.scenarios.len(), found.said));
    }
    let failed = found.checks("FAILURE");
    for check in &failed {
        if !expected.iter().any(|one| one.scenario == check.scenario && one.check == check.id) {
            wrong.push(format!("{} {}: {}", check.scenario, check.id, check.message));
        }
    }
    for one in expected {
        if !failed.iter().any(|check| one.scenario == check.scenario && one.check == check.id) {
            wrong.push(format!(
                "{} {} passes now: take it out of expected.json",
                one.scenario, one.check
            ));
        }
    }
    wrong
}

fn suite(name: &str) -> Suite {
    *SUITES.iter().find(|suite| suite.name == name).unwrap()
}

/// Runs a suite directly and through Narrows, both with the wire kept.
fn runs_alike(name: &str) {
    let suite = suite(name);
    let fixture = Fixture::http("both");
    let direct_tap = Tap::before(fixture.address());
    let direct = suite.against(&direct_tap.url());
    // What the fixture itself fails says nothing about Narrows.
    assert_eq!(judge(suite, &direct, &[]), [""; 0], "the fixture");

    let fixture = Fixture::http("both");
    let (_house, http) = served(json!({"url": fixture.url}));
    let through_tap = Tap::before(&http.address);
    let through = suite.against(&through_tap.url());
    let mut wrong = judge(suite, &through, &expected(suite));
    for scenario in direct.scenarios.keys() {
        let warnings = |found: &Found| {
            let checks = found.scenarios.get(scenario).map_or(&[][..], Vec::as_slice);
            checks
                .iter()
                .filter(|c| c.status == "WARNING")
                .map(|c| c.id.clone())
                .collect::<Vec<_>>()
        };
        if warnings(&through) != warnings(&direct) {
            wrong.push(format!("{scenario}: warnings {:?}", warnings(&through)));
        }
    }
    wrong.extend(differences(&direct_tap.exchanges(), &through_tap.exchanges()));
    assert!(wrong.is_empty(), "{} findings in {name}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_released_suite() {
    runs_alike("released");
}

#[test]
fn revision_2025_06_18() {
    runs_alike("2025-06-18");
}

#[test]
fn revision_2025_11_25() {
    runs_alike("2025-11-25");
}

#[test]
fn revision_2026_07_28() {
    runs_alike("2026-07-28");
}
