//! Each client era against each upstream era, over stdio, Streamable HTTP and HTTP+SSE: a client of
//! the official Python SDK gets through Narrows what it gets from the upstream itself in its era.

use crate::fixture::{Bridge, Fixture, passing, served, stdio};
use crate::house::{House, binary, python, repository};
use serde_json::{Map, Value, json};
use std::process::Command;

const MODERN: &str = "2026-07-28";

/// Everything that the client does, by step.
fn everything(
    house: Option<&House>,
    client: &str,
    upstream: &str,
    target: &[String],
) -> Map<String, Value> {
    let home = tempfile::TempDir::new().unwrap();
    let env: Map<String, Value> = house
        .into_iter()
        .flat_map(House::env)
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    let plan = home.path().join("plan.json");
    std::fs::write(&plan, json!({"env": env}).to_string()).unwrap();
    let driver = "crates/narrows-testkit/tests/conformance/drivers/everything.py";
    let output = Command::new(python("tools"))
        .arg(repository().join(driver))
        .args([client, upstream])
        .arg(plan)
        .args(target)
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(out.lines().last().unwrap_or_default())
        .unwrap_or_else(|e| panic!("{e}\n{out}\n{err}"))
}

/// What a client of the upstream's own era gets from it.
fn reference(upstream: &str) -> Map<String, Value> {
    let client = if upstream == "legacy" { "legacy" } else { MODERN };
    let fixture = binary("conformance-server").display().to_string();
    let words = [&fixture, "--stdio", "--eras", upstream].map(ToString::to_string);
    let steps = everything(None, client, upstream, &words);
    assert!(steps.len() > 25, "{steps:#?}");
    let broken: Vec<_> = steps.iter().filter(|(_, answer)| answer.is_string()).collect();
    assert!(broken.is_empty(), "the fixture itself: {broken:#?}");
    assert_eq!(steps["cancel"][0], json!({"begun": 1, "cancelled": 1}), "the fixture was told");
    steps
}

/// A resource that is not there has one code in the older revisions and another in the newest; what no
/// upstream has, Narrows answers in its own words.
fn same_code(answer: &Value, client: &str) -> Value {
    assert!(client == "legacy" || answer["error"] != -32002, "an old code towards a modern client");
    let mut answer = answer.clone();
    if answer["error"] == -32002 {
        answer["error"] = json!(-32602);
    }
    if answer["message"].as_str().is_some_and(|m| m.to_lowercase().starts_with("unknown ")) {
        answer["message"] = json!("*");
    }
    answer
}

fn alike(cell: &str, client: &str, wanted: &Map<String, Value>, got: &Map<String, Value>) {
    let mut wrong = Vec::new();
    for (step, wanted) in wanted {
        // Only clients of the older revisions set a level.
        let Some(got) = got.get(step) else {
            assert_eq!(step, "level", "{cell}");
            continue;
        };
        let (wanted, got) = (same_code(wanted, "legacy"), same_code(got, client));
        if wanted != got {
            wrong.push(format!("{step}\n     direct: {wanted}\n    through: {got}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{cell}: {} of {} steps differ\n{}",
        wrong.len(),
        wanted.len(),
        wrong.join("\n")
    );
}

fn over_stdio(client: &str, upstream: &str) {
    let folder = tempfile::TempDir::new().unwrap();
    let mut fixture = stdio(upstream);
    // A modern client's calls may each take a lane, which is a process.
    let jobs = ["--jobs".into(), json!(folder.path().join("jobs"))];
    fixture["args"].as_array_mut().unwrap().extend(jobs);
    let house = passing(fixture);
    let narrows = binary("narrows").display().to_string();
    let words = [&narrows, "--config", &house.config.display().to_string(), "serve"]
        .map(ToString::to_string);
    let got = everything(Some(&house), client, upstream, &words);
    alike(&format!("{client} to {upstream} over stdio"), client, &reference(upstream), &got);
}

fn over_http(client: &str, upstream: &str) {
    let fixture = Fixture::http(upstream);
    let (_house, http) = served(json!({"url": fixture.url}));
    let got = everything(None, client, upstream, &[http.url()]);
    alike(&format!("{client} to {upstream} over HTTP"), client, &reference(upstream), &got);
}

#[test]
fn legacy_to_legacy_over_stdio() {
    over_stdio("legacy", "legacy");
}

#[test]
fn legacy_to_legacy_over_http() {
    over_http("legacy", "legacy");
}

#[test]
fn modern_to_modern_over_stdio() {
    over_stdio(MODERN, "modern");
}

#[test]
fn modern_to_modern_over_http() {
    over_http(MODERN, "modern");
}

#[test]
fn legacy_to_modern_over_stdio() {
    over_stdio("legacy", "modern");
}

#[test]
fn legacy_to_modern_over_http() {
    over_http("legacy", "modern");
}

#[test]
fn modern_to_legacy_over_stdio() {
    over_stdio(MODERN, "legacy");
}

#[test]
fn modern_to_legacy_over_http() {
    over_http(MODERN, "legacy");
}

#[test]
fn an_upstream_behind_http_and_sse() {
    for client in ["legacy", MODERN] {
        let bridge = Bridge::before_the_fixture();
        let (_house, http) = served(json!({"url": bridge.url}));
        let got = everything(None, client, "legacy", &[http.url()]);
        alike(&format!("{client} to HTTP+SSE"), client, &reference("legacy"), &got);
    }
}

#[test]
fn a_client_on_http_and_sse() {
    for upstream in ["legacy", "modern"] {
        let (_house, http) = served(stdio(upstream));
        let got =
            everything(None, "legacy", upstream, &[format!("sse+http://{}/sse", http.address)]);
        alike(&format!("HTTP+SSE to {upstream}"), "legacy", &reference(upstream), &got);
    }
}
