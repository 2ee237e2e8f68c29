//! A modern client: stateless, asked by answers, able to follow tasks.

use crate::house::Http;
use serde_json::{Value, json};

/// The result of a request; `name` is what it is about.
pub(crate) fn request(http: &Http, method: &str, name: &str, params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}},
            "extensions": {"io.modelcontextprotocol/tasks": {}}},
    });
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let head = format!(
        "POST /mcp HTTP/1.1\nAccept: application/json, text/event-stream\n\
         MCP-Protocol-Version: 2026-07-28\nMcp-Method: {method}\nMcp-Name: {name}"
    );
    let (_, body) = http.send(&head, &message.to_string());
    let lines = body.lines().map(|line| line.trim_start_matches("data: "));
    let mut answers = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let answer = answers.find(|answer| answer["id"] == 1);
    let answer = answer.unwrap_or_else(|| panic!("{method}: no answer: {body:.2000}"));
    answer.get("result").cloned().unwrap_or_else(|| panic!("{method} {name}: {answer:#}"))
}

/// A call of `run`.
pub(crate) fn run(http: &Http, params: &Value) -> Value {
    request(http, "tools/call", "run", params)
}
