//! What never gets as far as MCP.

use super::client::{Sent, Server};
use super::{PATIENCE, config};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn bodies_that_are_no_messages() {
    let server = Server::start(config()).await;
    for (body, code) in [
        ("", -32700),
        ("{\"jsonrpc\":\"2.0\",", -32700),
        ("\u{1}", -32700),
        ("[]", -32600),
        ("{}", -32600),
        ("null", -32600),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, -32600),
    ] {
        let reply = server.send(&Sent::json("/mcp", body)).await;
        assert_eq!(reply.error(), (400, code), "{body}: {reply:?}");
    }
    let body = r#"{"jsonrpc":"2.0","id":5,"method":5}"#;
    assert_eq!(server.send(&Sent::json("/mcp", body)).await.json()["id"], 5);
    let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"x":{deep}}}}}"#);
    let reply = server.send(&Sent::json("/mcp", body)).await;
    assert_eq!(reply.status, 400, "{reply:?}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413() {
    let server = Server::start(config()).await;
    let reply = server.send(&Sent::json("/mcp", " ".repeat(10_001))).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(reply.body.contains("longer than 10000 bytes"), "{reply:?}");
    let reply = server.send(&Sent::json("/v1/run", " ".repeat(10_001))).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    let reply = server.send(&Sent::json("/mcp", "x".repeat(20 << 20))).await;
    assert_eq!(reply.status, 413, "a client that sends first and reads then sees it too");
}

#[tokio::test]
async fn only_json_is_taken() {
    let server = Server::start(config()).await;
    for path in ["/mcp", "/v1/run"] {
        for kind in ["text/plain", "application/x-www-form-urlencoded"] {
            let sent = Sent::new("POST", path, "{}").header("Content-Type", kind);
            assert_eq!(server.send(&sent).await.status, 415, "{path} {kind}");
        }
        assert_eq!(server.send(&Sent::new("POST", path, "{}")).await.status, 415, "{path}");
    }
    let sent = Sent::modern("tools/list", json!({}))
        .header("Content-Type", "Application/JSON; charset=utf-8");
    assert_eq!(server.send(&sent).await.status, 200);
}

#[tokio::test]
async fn strangers_are_refused_at_every_route() {
    let server = Server::start(config()).await;
    let evil = [("Host", "evil.example"), ("Origin", "http://evil.example"), ("Origin", "null")];
    for (name, value) in evil {
        for path in ["/mcp", "/v1/servers", "/openapi.json", "/nowhere"] {
            let reply = server.send(&Sent::new("GET", path, "").header(name, value)).await;
            assert_eq!(reply.status, 403, "{path} {name}: {value}: {reply:?}");
        }
        let call = Sent::modern("tools/list", json!({})).header(name, value);
        assert_eq!(server.send(&call).await.status, 403);
    }
    let probe = Sent::new("GET", "/livez", "").header("Host", "10.1.2.3:8080");
    assert_eq!(server.send(&probe).await.status, 200, "orchestrators know no better name");
    let local = Sent::modern("tools/list", json!({})).header("Origin", "http://localhost:6274");
    assert_eq!(server.send(&local).await.status, 200);
}

#[tokio::test]
async fn a_missing_host_is_refused() {
    let server = Server::start(config()).await;
    let reply = server.send(&Sent::new("GET", "/v1/servers", "").without("Host")).await;
    assert_eq!(reply.status, 400, "{reply:?}");
}

#[tokio::test]
async fn garbage_on_the_socket_closes_it_and_others_go_on() {
    let server = Server::start(config()).await;
    let mut connection = server.open().await;
    connection.write(b"\x16\x03\x01 not http at all\r\n\r\n").await;
    assert_eq!(connection.reply().await.status, 400);
    assert_eq!(server.modern("tools/list", json!({})).await.status, 200);
}

#[tokio::test]
async fn notifications_are_accepted() {
    let server = Server::start(config()).await;
    let body = r#"{"jsonrpc":"2.0","method":"notifications/whatever"}"#;
    let reply = server.send(&Sent::json("/mcp", body)).await;
    assert_eq!((reply.status, reply.body.as_str()), (202, ""));
}

#[tokio::test]
async fn whoever_is_cut_off_at_the_end_is_told() {
    let mut server = Server::start(config()).await;
    let mcp = Sent::modern("tools/call", json!({"name": "run", "arguments": {"code": "hang"}}));
    let run = Sent::json("/v1/run", r#"{"code":"hang"}"#);
    let all = [mcp.clone(), mcp.header("Accept", "text/event-stream"), run];
    let mut replies = Vec::new();
    for sent in all {
        let mut connection = server.open().await;
        connection.write(&sent.bytes()).await;
        replies.push(connection);
    }
    server.ledger.started(3).await;
    server.shutdown.cancel();
    let mcp = replies[0].reply().await;
    assert_eq!((mcp.error(), &mcp.json()["id"]), ((408, -31499), &json!(7)), "{mcp:?}");
    let stream = replies[1].reply().await.events();
    assert_eq!((&stream[0]["id"], &stream[0]["error"]["code"]), (&json!(7), &json!(-31499)));
    let rest = replies[2].reply().await;
    assert_eq!((rest.status, &rest.json()["error"]["kind"]), (408, &json!("cancelled")));
    assert!(rest.body.contains("shutting down"), "{rest:?}");
    let ended = tokio::time::timeout(PATIENCE, server.tasks.join_next()).await;
    ended.expect("the server ends").unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_without_a_whole_head_ends_however_busy_it_looks() {
    let server = Server::start(config()).await;
    let mut fresh = server.open().await;
    fresh.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
    let mut silent = server.open().await;
    let mut used = server.open().await;
    used.write(&Sent::new("GET", "/livez", "").bytes()).await;
    assert_eq!(used.reply().await.status, 200);
    used.write(b"GET /livez HTTP/1.1\r\nX-Slow: ").await;
    let mut kept = server.open().await;
    kept.write(&Sent::new("GET", "/livez", "").bytes()).await;
    assert_eq!(kept.reply().await.status, 200);
    let (slow, silence) = (b"x", async { silent.hung_up().await });
    tokio::join!(fresh.dawdle(slow), used.dawdle(slow), silence, async { kept.hung_up().await });
}

#[tokio::test]
async fn a_connection_lives_through_a_slow_answer_and_serves_the_next_request() {
    let server = Server::start(config()).await;
    let session = server.session("2025-11-25").await;
    let stream = Sent::new("GET", "/mcp", "")
        .header("Accept", "text/event-stream")
        .header("mcp-session-id", &session);
    let mut connection = server.open().await;
    connection.write(&stream.bytes()).await;
    assert_eq!(connection.head().await.0, 200);
    // Longer than a connection may wait between requests (in tests).
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let end = Sent::new("DELETE", "/mcp", "").header("mcp-session-id", &session);
    assert_eq!(server.send(&end).await.status, 204);
    assert_eq!(connection.chunk().await, None);
}
