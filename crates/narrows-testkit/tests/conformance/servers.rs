//! The suites against Narrows as a server: every check passes, and what comes back is what the
//! upstream itself answers.

use crate::compare::differences;
use crate::fixture::{Fixture, passes, served};
use crate::house::House;
use crate::judge::{expected, judge};
use crate::places::Kind;
use crate::suites::{Found, suite};
use crate::tap::Tap;
use serde_json::json;
use std::path::Path;

/// Runs a suite directly and through Narrows, both with the wire kept.
fn runs_alike(name: &str) {
    let suite = suite(name);
    let fixture = Fixture::http("both");
    let direct_tap = Tap::before(fixture.address());
    let direct = suite.against(&direct_tap.url());
    // What the fixture itself fails says nothing about Narrows.
    assert_eq!(judge(&direct, &[]), [""; 0], "the fixture");

    let fixture = Fixture::http("both");
    let (_house, http) = served(json!({"url": fixture.url}));
    let through_tap = Tap::before(&http.address);
    let through = suite.against(&through_tap.url());
    let mut wrong = judge(&through, &expected(name));
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
    runs_alike("server, released");
}

#[test]
fn revision_2025_06_18() {
    runs_alike("server, 2025-06-18");
}

#[test]
fn revision_2025_11_25() {
    runs_alike("server, 2025-11-25");
}

#[test]
fn revision_2026_07_28() {
    runs_alike("server, 2026-07-28");
}

/// Whose tasks they are stands in the store: here in another than the default, a file.
#[test]
fn revision_2026_07_28_with_the_store_on_postgresql() {
    let fixture = Fixture::http("both");
    let mut config = passes(json!({"url": fixture.url}));
    config["store"] = json!({"url": Kind::Postgres.fresh(Path::new("/"))});
    let house = House::with(&config);
    let http = house.http();
    let name = "server, 2026-07-28";
    let found = suite(name).against(&format!("http://{}/mcp", http.address));
    let wrong = judge(&found, &expected(name));
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
    let tasks = found.scenarios.keys().filter(|name| name.starts_with("tasks-")).count();
    assert!(tasks >= 9, "{tasks} scenarios of tasks");
}
