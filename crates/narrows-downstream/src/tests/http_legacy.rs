//! Sessions opened by `initialize`.

use super::client::{Sent, Server};
use super::{Config, PATIENCE, config};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_session_from_its_opening_to_its_end() {
    let server = Server::start(config()).await;
    let session = server.session("2025-06-18").await;
    assert!(session.len() >= 32 && session.bytes().all(|b| b.is_ascii_graphic()), "{session}");
    let note = Sent::json("/mcp", r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
        .header("Mcp-Session-Id", &session)
        .header("MCP-Protocol-Version", "2025-06-18");
    let reply = server.send(&note).await;
    assert_eq!((reply.status, reply.body.as_str()), (202, ""));
    let list = server.legacy(&session, "tools/list", json!({})).await;
    assert_eq!(list.json()["result"], json!({"tools": [{"name": "search"}, {"name": "run"}]}));
    let call = json!({"name": "run", "arguments": {"code": "x"}});
    let result = server.legacy(&session, "tools/call", call).await.json()["result"].clone();
    assert_eq!(result["structuredContent"]["value"]["ran"], "x");

    let end = Sent::new("DELETE", "/mcp", "").header("Mcp-Session-Id", &session);
    assert_eq!(server.send(&end).await.status, 204);
    assert_eq!(server.send(&end).await.status, 404);
    assert_eq!(server.legacy(&session, "tools/list", json!({})).await.status, 404);
    assert_eq!(server.send(&note).await.status, 404);
}

#[tokio::test]
async fn requests_without_a_living_session_are_refused() {
    let server = Server::start(config()).await;
    let reply = server.send(&Sent::message("tools/list", &json!({}))).await;
    assert_eq!(reply.error(), (400, -32602), "{reply:?}");
    let reply = server.legacy("nonesuch", "tools/list", json!({})).await;
    assert_eq!(reply.error(), (404, -32600), "{reply:?}");
    let get = Sent::new("GET", "/mcp", "").header("Mcp-Session-Id", "nonesuch");
    assert_eq!(server.send(&get).await.status, 404);
}

#[tokio::test]
async fn errors_of_methods_keep_status_200() {
    let server = Server::start(config()).await;
    let session = server.session("2025-11-25").await;
    let reply = server.legacy(&session, "logging/setLevel", json!({"level": "info"})).await;
    assert_eq!(reply.error(), (200, -32601));
    for uri in ["narrows://artifact/art_y", "file:///etc/passwd"] {
        let reply = server.legacy(&session, "resources/read", json!({"uri": uri})).await;
        assert_eq!(reply.error(), (200, -32002));
    }
}

#[tokio::test]
async fn a_revision_header_that_is_unknown_is_refused() {
    let server = Server::start(config()).await;
    let session = server.session("2025-06-18").await;
    let sent = |version: &str| {
        Sent::message("tools/list", &json!({}))
            .header("Mcp-Session-Id", &session)
            .header("MCP-Protocol-Version", version)
    };
    assert_eq!(server.send(&sent("2025-06-18")).await.status, 200);
    assert_eq!(server.send(&sent("1999-01-01")).await.status, 400);
}

#[tokio::test]
async fn cancelling_reaches_only_ones_own_session() {
    let server = Server::start(config()).await;
    let (ours, theirs) = (server.session("2025-11-25").await, server.session("2025-11-25").await);
    let call = json!({"name": "run", "arguments": {"code": "hang"}});
    let mut waiting = server.open().await;
    let sent = Sent::message("tools/call", &call)
        .header("Accept", "application/json")
        .header("Mcp-Session-Id", &ours);
    waiting.write(&sent.bytes()).await;
    server.ledger.started(1).await;
    let again = server.send(&sent).await;
    assert_eq!(again.error(), (400, -32600), "one id, one request: {again:?}");
    let cancel = |session: &str| {
        let body = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
        Sent::json("/mcp", body.to_string()).header("Mcp-Session-Id", session)
    };
    assert_eq!(server.send(&cancel(&theirs)).await.status, 202);
    let still = tokio::time::timeout(Duration::from_millis(50), waiting.head()).await;
    assert!(still.is_err(), "somebody else's cancelling does nothing");
    assert_eq!(server.send(&cancel(&ours)).await.status, 202);
    server.ledger.cut_off(1).await;
    assert_eq!(waiting.reply().await.body, "");
}

#[tokio::test]
async fn ending_a_session_ends_what_is_under_way() {
    let server = Server::start(config()).await;
    let session = server.session("2025-11-25").await;
    let mut stream = server.open().await;
    let get = Sent::new("GET", "/mcp", "")
        .header("Mcp-Session-Id", &session)
        .header("Accept", "text/event-stream");
    stream.write(&get.bytes()).await;
    let (status, headers) = stream.head().await;
    assert_eq!(status, 200);
    assert!(headers.contains(&("content-type".to_owned(), "text/event-stream".to_owned())));
    let mut waiting = server.open().await;
    let call = json!({"name": "run", "arguments": {"code": "hang"}});
    let sent = Sent::message("tools/call", &call).header("Mcp-Session-Id", &session);
    waiting.write(&sent.bytes()).await;
    server.ledger.started(1).await;
    let end = Sent::new("DELETE", "/mcp", "").header("Mcp-Session-Id", &session);
    assert_eq!(server.send(&end).await.status, 204);
    server.ledger.cut_off(1).await;
    let last = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("the stream ends");
    assert_eq!(last, None);
}

#[tokio::test]
async fn a_stream_wants_its_form() {
    let server = Server::start(config()).await;
    let session = server.session("2025-11-25").await;
    let get = Sent::new("GET", "/mcp", "")
        .header("Mcp-Session-Id", &session)
        .header("Accept", "application/json");
    assert_eq!(server.send(&get).await.status, 406);
}

#[tokio::test]
async fn sessions_are_bounded() {
    let server = Server::start(Config { sessions_max: 2, ..config() }).await;
    let first = server.session("2025-11-25").await;
    let second = server.session("2025-11-25").await;
    assert_eq!(server.legacy(&first, "ping", json!({})).await.status, 200);
    let third = server.session("2025-11-25").await;
    assert_eq!(server.legacy(&second, "ping", json!({})).await.status, 404, "idle longest");
    for living in [&first, &third] {
        assert_eq!(server.legacy(living, "ping", json!({})).await.status, 200);
    }
}

#[tokio::test]
async fn shutdown_ends_silent_streams_and_drains_requests() {
    let mut server = Server::start(config()).await;
    let session = server.session("2025-11-25").await;
    let mut stream = server.open().await;
    let get = Sent::new("GET", "/mcp", "")
        .header("Mcp-Session-Id", &session)
        .header("Accept", "text/event-stream");
    stream.write(&get.bytes()).await;
    assert_eq!(stream.head().await.0, 200);
    server.shutdown.cancel();
    let ended = tokio::time::timeout(PATIENCE, server.tasks.join_next()).await;
    ended.expect("the server ends").unwrap().unwrap().unwrap();
    assert_eq!(stream.chunk().await, None);
}

#[tokio::test]
async fn batches_are_for_the_revision_that_has_them() {
    let server = Server::start(config()).await;
    let message = |id: u64, method: &str, params: serde_json::Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let run = json!({"name": "run", "arguments": {"code": "x"}});
    let batch = json!([
        message(1, "tools/call", run),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        message(2, "initialize", json!({})),
        {"bad": 1},
        message(3, "ping", json!({})),
    ]);
    let sent = |session: &str, body: &serde_json::Value| {
        Sent::json("/mcp", body.to_string()).header("Mcp-Session-Id", session)
    };
    let old = server.session("2025-03-26").await;
    let reply = server.send(&sent(&old, &batch)).await.json();
    let answers = reply.as_array().unwrap();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert_eq!(answers[0]["result"]["content"][0]["text"], "ran x");
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["code"]), (&json!(null), &json!(-32600)));
    assert_eq!(answers[3], json!({"jsonrpc": "2.0", "id": 3, "result": {}}));
    let notes = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
    assert_eq!(server.send(&sent(&old, &notes)).await.status, 202);
    let many = json!(vec![message(1, "ping", json!({})); 101]);
    for bad in [json!([]), many] {
        assert_eq!(server.send(&sent(&old, &bad)).await.error(), (400, -32600));
    }
    let newer = server.session("2025-06-18").await;
    assert_eq!(server.send(&sent(&newer, &batch)).await.error(), (400, -32600));
}
