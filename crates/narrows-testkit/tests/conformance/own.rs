//! The suites against Narrows' own two tools (mode `code`). Most scenarios call what the suite's
//! fixture has; `own.json` says which those are and why. All others apply.

use crate::fixture::Fixture;
use crate::house::{House, Http};
use crate::judge::{expected, judge, warnings};
use crate::suites::suite;
use serde::Deserialize;
use serde_json::json;

/// Scenarios that say nothing about the two tools.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outside {
    why: String,
    scenarios: Vec<String>,
}

/// Narrows in code mode, with the fixture as a server whose tools are functions.
fn served() -> (Fixture, House, Http) {
    let fixture = Fixture::http("both");
    let config = json!({"serve": {"mode": "code"}, "servers": {"fixture": {"url": fixture.url}}});
    let house = House::with(&config);
    let http = house.http();
    (fixture, house, http)
}

/// Runs a suite; what applies must be exactly these scenarios, and pass.
fn pass(version: &str, applying: &[&str]) {
    let outside: Vec<Outside> = serde_json::from_str(include_str!("own.json")).unwrap();
    assert!(outside.iter().all(|one| one.why.len() > 20), "what is left out says why");
    let (_fixture, _house, http) = served();
    let mut found = suite(&format!("server, {version}")).against(&http.url());
    let left_out = |name: &String| outside.iter().any(|one| one.scenarios.contains(name));
    found.scenarios.retain(|name, _| !left_out(name));
    let ran: Vec<&str> = found.scenarios.keys().map(String::as_str).collect();
    assert_eq!(ran, applying, "a scenario applies, or own.json says why it does not");
    let mut wrong = judge(&found, &expected(&format!("own tools, {version}")));
    wrong.extend(warnings(&found));
    assert!(wrong.is_empty(), "{} findings in {version}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_released_suite() {
    let applying = [
        "dns-rebinding-protection",
        "ping",
        "resources-list",
        "server-initialize",
        "server-sse-multiple-streams",
        "tools-list",
    ];
    pass("released", &applying);
}

#[test]
fn revision_2025_06_18() {
    let applying =
        ["ping", "resources-list", "server-initialize", "server-session-lifecycle", "tools-list"];
    pass("2025-06-18", &applying);
}

#[test]
fn revision_2025_11_25() {
    let applying = [
        "dns-rebinding-protection",
        "ping",
        "resources-list",
        "server-initialize",
        "server-session-lifecycle",
        "server-sse-multiple-streams",
        "tools-list",
    ];
    pass("2025-11-25", &applying);
}

#[test]
fn revision_2026_07_28() {
    let applying = [
        "caching",
        "dns-rebinding-protection",
        "http-header-validation",
        "input-required-result-unsupported-methods",
        "resources-list",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "server-stateless",
        "tasks-capability-negotiation",
        "tasks-dispatch-and-envelope",
        "tools-list",
    ];
    pass("2026-07-28", &applying);
}

/// What `own.json` leaves out for want of a capability is not announced either.
#[test]
fn no_capability_is_announced_beyond_tools_resources_and_tasks() {
    let (_fixture, _house, http) = served();
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "conformance", "version": "1"}});
    let ask = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let (_status, answer) = http.post("/mcp", &ask);
    let tasks = json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}});
    let expected = json!({"tools": {}, "resources": {}, "tasks": tasks});
    assert_eq!(answer["result"]["capabilities"], expected, "{answer}");
}
