//! Driven by the official clients, over stdio and HTTP, in both eras.

use crate::house::{House, npm_bin, parts, python, repository, scripted};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

const MODERN: &str = "2026-07-28";

fn driver(name: &str) -> PathBuf {
    repository().join("crates/narrows-testkit/tests/blackbox/drivers").join(name)
}

/// A house whose agent finds, calls in parallel, shows a picture and reports progress.
fn house() -> (House, PathBuf) {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let env: serde_json::Map<String, Value> =
        house.env().into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
    let code = "progress(0.5, 'half');
        const [a, b, picture] = await Promise.all(
          [scripted.echo({text: 'x'}), scripted.echo({text: input.word}), scripted.image()]);
        show(picture);
        return [a.echo, b.echo];";
    let plan = json!({
        "env": env,
        "search": {"query": "give back a text"},
        "run": {"code": code, "input": {"word": "y"}},
    });
    let path = house.home.path().join("plan.json");
    std::fs::write(&path, plan.to_string()).unwrap();
    (house, path)
}

fn check(answer: &Value) {
    assert_eq!(answer["tools"], json!(["search", "run"]));
    assert_eq!(answer["search"]["results"][0]["tool"], "echo", "{answer:#}");
    assert!(answer["search_text"].as_str().unwrap().contains("scripted.echo("), "{answer:#}");
    assert_eq!(answer["run"]["value"], json!(["x", "y"]), "{answer:#}");
    assert_eq!(answer["run_error"], false);
    assert_eq!(answer["content"], json!(["text", "image"]));
    assert!(answer["text"].as_str().unwrap().contains("3 calls"), "{answer:#}");
}

fn drive(mut command: Command) -> Value {
    command.env("NARROWS_PARTS", parts());
    let output = command.output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    serde_json::from_str(out.lines().last().unwrap_or_default())
        .unwrap_or_else(|e| panic!("{e}\n{out}\n{err}"))
}

fn stdio_target(house: &House, command: &mut Command) {
    command.arg(crate::house::binary("narrows")).arg("--config").arg(&house.config).arg("serve");
}

#[test]
fn the_python_sdk_over_stdio_in_both_eras() {
    for era in ["legacy", MODERN, "auto"] {
        let (house, plan) = house();
        let mut command = Command::new(python("tools"));
        command.arg(driver("agent.py")).arg(era).arg(plan);
        stdio_target(&house, &mut command);
        let answer = drive(command);
        check(&answer);
        assert_eq!(answer["progress"][0], json!([0.5, 1.0, "half"]), "{era}: {answer:#}");
    }
}

#[test]
fn the_python_sdk_over_http_in_both_eras() {
    let (house, plan) = house();
    let http = house.http();
    for era in ["legacy", MODERN, "auto"] {
        let mut command = Command::new(python("tools"));
        command.arg(driver("agent.py")).arg(era).arg(&plan).arg(http.url());
        let answer = drive(command);
        check(&answer);
        assert_eq!(answer["progress"][0], json!([0.5, 1.0, "half"]), "{era}: {answer:#}");
    }
}

#[test]
fn the_npm_sdks_over_stdio_and_http_in_both_eras() {
    let (house, plan) = house();
    let http = house.http();
    for (sdk, era) in [("v1", "legacy"), ("v2", "legacy"), ("v2", MODERN)] {
        let node = || {
            let mut command = Command::new(npm_bin("node"));
            command.arg(driver("agent.mjs")).args([sdk, era]).arg(&plan);
            command
        };
        let mut stdio = node();
        stdio_target(&house, &mut stdio);
        check(&drive(stdio));
        let mut remote = node();
        remote.arg(http.url());
        check(&drive(remote));
    }
}

#[test]
fn the_inspector_lists_and_calls() {
    let (house, _) = house();
    let http = house.http();
    let inspect = |args: &[&str]| house.inspect(&http, args);
    let listed = inspect(&["--method", "tools/list"]);
    assert_eq!(listed["tools"][1]["name"], "run");
    let ran = inspect(&[
        "--method",
        "tools/call",
        "--tool-name",
        "run",
        "--tool-arg",
        "code=return 6 * 7",
    ]);
    assert_eq!(ran["structuredContent"]["value"], 42, "{ran:#}");
}
