use super::{first_line, result, search, servers, tools};
use crate::cli::output::Output;
use narrows_types::{Content, SearchAnswer, ServerListing, ServerState, ServerStatus, ToolResult};
use serde_json::json;

fn status(server: &str, state: ServerState) -> ServerStatus {
    ServerStatus {
        server: server.to_owned(),
        transport: "stdio".to_owned(),
        state,
        version: None,
        revision: None,
        tools: 0,
        skipped: Vec::new(),
        keeping: Vec::new(),
        last_error: None,
    }
}

#[test]
fn servers_stand_in_columns() {
    let states = [
        ServerStatus {
            tools: 12,
            version: Some("1.2.0".to_owned()),
            revision: Some("2025-11-25".to_owned()),
            skipped: vec!["bad: no name".to_owned(), "worse".to_owned()],
            keeping: vec!["tier heavy".to_owned(), "1 to 4 processes".to_owned()],
            ..status("git", ServerState::Ready)
        },
        ServerStatus {
            last_error: Some("command `npxx` not found on PATH\nsecond line".to_owned()),
            ..status("slack", ServerState::Failed)
        },
        status("evil\u{1b}[2Jname", ServerState::Idle),
    ];
    insta::assert_snapshot!(servers(&states, &Output::plain()));
    assert!(servers(&[], &Output::plain()).starts_with("no servers; "));
}

#[test]
fn tools_stand_in_columns() {
    let listing: ServerListing = serde_json::from_value(json!({
        "server": "git",
        "tools": [
            {"name": "log", "description": "\n  Shows the log.\nMore.", "inputSchema": {}},
            {"name": "push", "inputSchema": {}},
        ],
    }))
    .unwrap();
    insta::assert_snapshot!(tools(&[listing], &Output::plain()));
    assert!(tools(&[], &Output::plain()).starts_with("no tools; "));
}

#[test]
fn results_are_structured_first_then_text() {
    let raw = serde_json::value::RawValue::from_string("{\"a\":1}".to_owned()).unwrap();
    let structured = ToolResult { structured_content: Some(raw), ..ToolResult::text("a is 1") };
    assert_eq!(result(&structured), "{\n  \"a\": 1\n}");
    let mixed = ToolResult {
        content: vec![
            Content::text("see:"),
            Content(json!({"type": "image", "mimeType": "image/png", "data": "AAAAAAAA"})),
            Content(json!({"type": "resource_link", "uri": "file:///x"})),
        ],
        structured_content: None,
        is_error: false,
    };
    insta::assert_snapshot!(result(&mixed));
}

#[test]
fn nothing_found_has_a_next_step() {
    assert!(search(&SearchAnswer::default()).contains("`narrows tools`"));
    assert_eq!(first_line(&"x".repeat(300)).len(), 160);
}
