//! Clients that people use, each over the transports that it speaks.

use crate::fixture::{Fixture, passing, served, stdio};
use crate::house::{House, binary, npm_bin, python, repository};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;

fn driver(name: &str) -> std::path::PathBuf {
    repository().join("crates/narrows-testkit/tests/conformance/drivers").join(name)
}

fn planned(home: &Path, plan: &Value) -> std::path::PathBuf {
    let path = home.join("plan.json");
    std::fs::write(&path, plan.to_string()).unwrap();
    path
}

fn said(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let last = out.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}\n{out}\n{err}"))
}

/// How a client starts Narrows itself.
fn command_of(house: &House) -> (String, Vec<String>, Map<String, Value>) {
    let config = house.config.display().to_string();
    let words = ["--config".to_owned(), config, "serve".to_owned()].to_vec();
    let env = house.env().into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    (binary("narrows").display().to_string(), words, env)
}

#[test]
fn langchain_with_an_entry_for_each_transport() {
    let house = passing(stdio("both"));
    let http = house.http();
    let (command, args, env) = command_of(&house);
    let plan = json!({"entries": {
        "stdio": {"transport": "stdio", "command": command, "args": args, "env": env},
        "http": {"transport": "streamable_http", "url": http.url()},
        "sse": {"transport": "sse", "url": format!("http://{}/sse", http.address)},
    }});
    let plan = planned(house.home.path(), &plan);
    let all = said(Command::new(python("langchain")).arg(driver("langchain.py")).arg(plan));
    for entry in ["stdio", "http", "sse"] {
        let one = &all[entry];
        assert_eq!(
            one["text"][0], "This is a simple text response for testing.",
            "{entry}: {one:#}"
        );
        assert!(one["elicit"][0].as_str().unwrap().contains("action=accept"), "{entry}: {one:#}");
        assert_eq!(
            one["resources"][0], "This is the content of the static text resource.",
            "{entry}"
        );
        assert_eq!(
            one["prompt"][0], "Prompt with arguments: arg1='a', arg2='b'",
            "{entry}: {one:#}"
        );
        assert_eq!(one["seen"]["asked"], json!(["who?"]), "{entry}: {one:#}");
        assert_eq!(one["seen"]["progress"][1], json!([50.0, 100.0, "Halfway"]), "{entry}: {one:#}");
    }
}

#[test]
fn fastmcp_in_both_eras() {
    let fixture = Fixture::http("both");
    let (house, http) = served(json!({"url": fixture.url}));
    for era in ["legacy", "2026-07-28"] {
        let plan = planned(house.home.path(), &json!({"target": http.url()}));
        let one = said(
            Command::new(python("fastmcp")).arg(driver("fastmcp_client.py")).arg(era).arg(plan),
        );
        assert_eq!(one["text"], "This is a simple text response for testing.", "{era}: {one:#}");
        assert_eq!(one["asked"].as_array().unwrap().len(), 1, "{era}: {one:#}");
        assert_eq!(one["progress"][2], json!([100.0, 100.0, "Complete"]), "{era}: {one:#}");
        assert_eq!(one["resource"], "This is the content of the static text resource.", "{era}");
        assert_eq!(one["prompt"], "Prompt with arguments: arg1='a', arg2='b'", "{era}");
        assert_eq!(one["error"], "This tool intentionally returns an error for testing", "{era}");
        assert_eq!((&one["cancelled"], &one["after"]), (&json!(1), &one["text"]), "{era}: {one:#}");
    }
}

#[test]
fn the_npm_sdks_in_both_eras() {
    let house = passing(stdio("both"));
    let http = house.http();
    let (command, args, env) = command_of(&house);
    for (sdk, era) in [("v1", "legacy"), ("v2", "legacy"), ("v2", "2026-07-28")] {
        for target in
            [json!({"url": http.url()}), json!({"command": command, "args": args, "env": env})]
        {
            let plan = planned(house.home.path(), &target);
            let one = said(
                Command::new(npm_bin("node"))
                    .arg(driver("everything.mjs"))
                    .args([sdk, era])
                    .arg(plan)
                    .env("NARROWS_PARTS", crate::house::parts()),
            );
            let place = format!("{sdk} {era} {target}");
            assert_eq!(
                one["text"], "This is a simple text response for testing.",
                "{place}: {one:#}"
            );
            assert!(one["elicit"].as_str().unwrap().contains("me"), "{place}: {one:#}");
            assert_eq!(one["asked"].as_array().unwrap().len(), 1, "{place}: {one:#}");
            assert_eq!(one["progress"], json!([0, 50, 100]), "{place}: {one:#}");
            assert_eq!(
                one["resource"], "This is the content of the static text resource.",
                "{place}"
            );
            assert_eq!(one["prompt"], "Prompt with arguments: arg1='a', arg2='b'", "{place}");
            assert_eq!(
                (&one["cancelled"], &one["after"]),
                (&json!(1), &one["text"]),
                "{place}: {one:#}"
            );
        }
    }
}

#[test]
fn the_inspector() {
    let house = passing(stdio("both"));
    let http = house.http();
    let inspect = |args: &[&str]| house.inspect(&http, args);
    let listed = inspect(&["--method", "tools/list"]);
    assert!(listed["tools"].as_array().unwrap().len() > 30, "{listed:#}");
    let called = inspect(&["--method", "tools/call", "--tool-name", "test_simple_text"]);
    assert_eq!(called["content"][0]["text"], "This is a simple text response for testing.");
    let read = inspect(&["--method", "resources/read", "--uri", "test://static-text"]);
    assert_eq!(read["contents"][0]["mimeType"], "text/plain", "{read:#}");
    let prompts = inspect(&["--method", "prompts/list"]);
    assert!(prompts["prompts"].as_array().unwrap().len() >= 4, "{prompts:#}");
}
