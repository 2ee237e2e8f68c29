//! Servers of the official SDKs, through a fleet.

use crate::house::{PATIENCE, fleet, raw, status};
use crate::passing::{hearing, legacy, modern, question, result, through};
use narrows_types::{Client, Event, ListKind, Method};
use narrows_upstream::{Era, Launch, ServerConfig};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// Where `cargo xtask test` put the real parts.
pub(crate) fn parts() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
    #[expect(clippy::disallowed_methods, reason = "a test is told where its parts are")]
    let parts = std::env::var("NARROWS_PARTS").map_or(here, PathBuf::from);
    assert!(parts.is_dir(), "run `cargo xtask test`: it installs {}", parts.display());
    parts
}

fn stdio(name: &str, command: &Path, args: &[String]) -> ServerConfig {
    let (command, args) = (command.to_str().unwrap().to_owned(), args.to_vec());
    let launch = Launch::Stdio { command, args, env: BTreeMap::new(), cwd: None };
    ServerConfig::new(name, launch)
}

fn python(name: &str) -> ServerConfig {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sdk.py");
    let script = script.to_str().unwrap().to_owned();
    stdio(name, &parts().join("py/tools/bin/python"), &[script])
}

#[tokio::test]
async fn the_python_sdk_in_the_legacy_era() {
    python_serves(Era::Legacy, &[false, true]).await;
}

#[tokio::test]
async fn the_python_sdk_in_the_modern_era() {
    python_serves(Era::Modern, &[]).await;
}

#[tokio::test]
async fn the_python_sdk_in_the_era_of_the_client() {
    python_serves(Era::Auto, &[false]).await;
}

/// The server on the Python SDK serves clients of both eras. Those that are modern, or not, as
/// `asked` says are asked in the middle of a call, for there the server is spoken to in the legacy
/// era.
async fn python_serves(era: Era, asked: &[bool]) {
    let fleet = fleet(vec![ServerConfig { era, ..python("sdk") }]);
    fleet.list_all(PATIENCE).await;
    let spoken = status(&fleet, "sdk").revision;
    let expected = if era == Era::Legacy { "2025-11-25" } else { "2026-07-28" };
    assert_eq!(spoken.as_deref(), Some(expected), "{:?}", status(&fleet, "sdk").last_error);
    for client in [legacy(1), modern()] {
        let (one, mut heard) = hearing(&fleet, "sdk", client.clone());
        let params = r#"{"name":"add","arguments":{"a":1,"b":2}}"#;
        let sum = result(one.pass(Method::CallTool, None, params).await);
        assert_eq!(sum["structuredContent"]["result"], 3);
        let params = r#"{"name":"work","arguments":{},"_meta":{"progressToken":"t"}}"#;
        let done = result(one.pass(Method::CallTool, None, params).await);
        assert_eq!(done["content"][0]["text"], "done");
        let mut methods = Vec::new();
        while let Ok(Event::Note { method, .. }) = heard.try_recv() {
            methods.push(method);
        }
        assert!(methods.iter().any(|m| m == "notifications/progress"), "{methods:?}");
        let prompt = r#"{"name":"greet","arguments":{"name":"you"}}"#;
        let prompt = result(one.pass(Method::GetPrompt, None, prompt).await);
        assert_eq!(prompt["messages"][0]["content"]["text"], "greet you");
        let note = r#"{"uri":"note://mine"}"#;
        let note = result(one.pass(Method::ReadResource, None, note).await);
        assert_eq!(note["contents"][0]["text"], "note mine");
        if !asked.contains(&client.modern) {
            continue;
        }
        let answer = async {
            let asked = question(heard.recv().await);
            assert_eq!(asked.method, "elicitation/create");
            let answer = json!({"action": "accept", "content": {"name": "me"}});
            (asked.answer)(Ok(raw(&answer)));
        };
        let params = r#"{"name":"ask","arguments":{}}"#;
        let (told, ()) = tokio::join!(one.pass(Method::CallTool, None, params), answer);
        assert_eq!(result(told)["content"][0]["text"], "accept name='me'");
    }
    for kind in [ListKind::Prompts, ListKind::Resources, ListKind::Templates] {
        let items = fleet.items("sdk", kind, Instant::now() + PATIENCE).await;
        assert_eq!(items.unwrap().items.len(), 1, "{kind:?}");
    }
    fleet.shutdown().await;
}

#[tokio::test]
async fn the_reference_server_asks_its_client() {
    let script =
        parts().join("npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let script = script.to_str().unwrap().to_owned();
    let fleet = fleet(vec![stdio("every", Path::new("node"), &[script, "stdio".to_owned()])]);
    let (one, mut heard) = hearing(&fleet, "every", legacy(1));
    let params = r#"{"name":"trigger-sampling-request","arguments":{"prompt":"hi","maxTokens":5}}"#;
    let answer = async {
        loop {
            // It also asks for the roots, as soon as it is open.
            let asked = match heard.recv().await {
                Some(Event::Note { .. }) => continue,
                event => question(event),
            };
            if asked.method == "roots/list" {
                (asked.answer)(Ok(raw(&json!({"roots": []}))));
                continue;
            }
            assert_eq!(asked.method, "sampling/createMessage");
            let said = json!({"role": "assistant", "model": "m",
                "content": {"type": "text", "text": "there"}});
            (asked.answer)(Ok(raw(&said)));
            return;
        }
    };
    let (told, ()) = tokio::join!(one.pass(Method::CallTool, None, params), answer);
    assert!(result(told).to_string().contains("there"));
    // What is shared cannot be asked, so that it does not even offer the tool.
    let shared = through(&fleet, "every", Client::default());
    let echo = r#"{"name":"echo","arguments":{"message":"x"}}"#;
    let echoed = result(shared.pass(Method::CallTool, None, echo).await);
    assert_eq!(echoed["content"][0]["text"], "Echo: x");
    fleet.shutdown().await;
}
