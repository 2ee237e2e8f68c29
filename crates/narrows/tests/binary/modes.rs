//! What agents see in each mode, over the built-in servers.
#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

use crate::Desk;
use serde_json::{Value, json};
use std::collections::HashMap;

const SERVERS: &str = r#"
[servers.time]
builtin = "time"
prefix = false
cache_ttl_ms = 60000
[servers.time.tools.now]
name = "clock"
description = "What time it is."
pin = true
[servers.time.tools.difference]
hide = true
[servers.files]
builtin = "files"
folders = ["."]
prefix = "f"
"#;

/// Sends requests to `narrows serve` and gives the answers by their ids.
fn ask(mode: &str, requests: &[(&str, Value)]) -> HashMap<u64, Value> {
    let desk = Desk::new();
    desk.write("work/narrows.toml", &format!("[serve]\nmode = \"{mode}\"\n{SERVERS}"));
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"}});
    let mut lines = vec![
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    ];
    for (at, (method, params)) in requests.iter().enumerate() {
        lines.push(json!({"jsonrpc": "2.0", "id": at + 1, "method": method, "params": params}));
    }
    let input: String = lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect();
    let said = desk.run_with(&["serve"], &[], &input);
    assert_eq!(said.code, 0, "{}", said.err);
    let answers = said.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    answers.filter_map(|answer| Some((answer["id"].as_u64()?, answer))).collect()
}

fn names(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().unwrap();
    tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "a request is written where it is made")]
fn call(name: &str, arguments: Value) -> (&str, Value) {
    ("tools/call", json!({"name": name, "arguments": arguments}))
}

#[test]
fn mcp_passes_all_on_under_the_names_of_the_config() {
    let answers = ask(
        "mcp",
        &[
            ("tools/list", json!({})),
            call("clock", json!({"zone": "Europe/Berlin"})),
            call("now", json!({})),
            call("f.red", json!({})),
        ],
    );
    let listed = names(&answers[&1]);
    assert!(listed.starts_with(&["clock", "convert"]), "{listed:?}");
    assert!(listed.contains(&"f.read") && !listed.contains(&"difference"), "{listed:?}");
    assert_eq!(answers[&1]["result"]["tools"][0]["description"], "What time it is.");
    let now = &answers[&2]["result"];
    assert!(now["structuredContent"]["time"].is_string(), "{now}");
    assert!(now["_meta"]["narrows/bill"].is_null(), "{now}");
    assert_eq!(answers[&3]["error"]["code"], -32_602, "{}", answers[&3]);
    let near = answers[&4]["error"]["message"].as_str().unwrap();
    assert!(near.contains("f.read"), "{near}");
}

#[test]
fn hybrid_lists_what_is_worth_it_and_mends_wrong_calls() {
    let answers = ask(
        "hybrid",
        &[
            ("tools/list", json!({})),
            call("clock", json!({"zone": 7})),
            call("clock", json!({})),
            call("clock", json!({})),
            call("f.list", json!({"path": "."})),
        ],
    );
    assert_eq!(names(&answers[&1]), ["search", "run", "clock"]);
    let wrong = &answers[&2]["result"];
    assert_eq!(wrong["isError"], true, "{wrong}");
    let text = wrong["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("not called; it is: time.clock("), "{text}");
    // Two identical calls of a tool whose answers are kept are one.
    let kept = [&answers[&3], &answers[&4]]
        .iter()
        .filter(|answer| !answer["result"]["_meta"]["narrows/cached"].is_null())
        .count();
    assert_eq!(kept, 1, "{answers:?}");
    assert_eq!(answers[&3]["result"]["content"], answers[&4]["result"]["content"]);
    let bill = &answers[&5]["result"]["_meta"]["narrows/bill"];
    assert_eq!((&bill["route"], &bill["calls"]), (&json!("direct"), &json!(1)), "{answers:?}");
}

#[test]
fn code_has_two_tools_and_passes_nothing_on() {
    let answers = ask("code", &[("tools/list", json!({})), call("clock", json!({}))]);
    assert_eq!(names(&answers[&1]), ["search", "run"]);
    assert!(answers[&2]["error"]["message"].as_str().unwrap().contains("run"), "{answers:?}");
}

#[test]
fn the_mode_command_writes_what_counts_and_leaves_the_rest() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mode"]).out, "code\n");
    desk.write("work/narrows.toml", "# mine\n[servers.time]\nbuiltin = \"time\"\n");
    let said = desk.run(&["mode", "hybrid"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "mode hybrid in narrows.toml\n"),
        "{}",
        said.err
    );
    let text = desk.read("work/narrows.toml");
    assert!(text.starts_with("# mine\n[servers.time]") && text.contains("mode = \"hybrid\""));
    assert_eq!(desk.run(&["mode"]).out, "hybrid\n");
    assert_eq!(desk.run(&["mode", "mpc"]).code, 2);
}
