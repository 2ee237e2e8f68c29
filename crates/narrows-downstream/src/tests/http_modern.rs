//! The stateless era over HTTP.

use super::client::{Sent, Server};
use super::config;
use serde_json::json;

#[tokio::test]
async fn discover_list_call_read() {
    let server = Server::start(config()).await;
    let found = server.modern("server/discover", json!({})).await;
    assert_eq!(found.status, 200);
    assert_eq!(found.header("content-type"), Some("application/json"));
    assert_eq!(found.header("mcp-session-id"), None, "no sessions are minted");
    assert_eq!(found.json()["result"]["supportedVersions"], json!(["2026-07-28"]));

    for (method, key) in [
        ("tools/list", "tools"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ] {
        let result = server.modern(method, json!({})).await.json()["result"].clone();
        assert!(result[key].is_array(), "{method}: {result}");
        assert!(
            result["ttlMs"].is_u64() && result["cacheScope"] == "private",
            "{method}: {result}"
        );
        assert_eq!(result["resultType"], "complete");
    }
    let call = json!({"name": "run", "arguments": {"code": "x"}});
    let result = server.modern("tools/call", call).await.json()["result"].clone();
    assert_eq!(result["structuredContent"]["value"], json!({"ran": "x"}));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "narrows");
    let call = json!({"name": "search", "arguments": {"query": ["a", "b"]}});
    let result = server.modern("tools/call", call).await.json()["result"].clone();
    assert_eq!(result["content"], json!([{"type": "text", "text": "found one"}]));
    assert_eq!(result["structuredContent"]["results"][0]["description"], "a+b");
    let read = server.modern("resources/read", json!({"uri": "narrows://artifact/art_x"})).await;
    let result = read.json()["result"].clone();
    assert_eq!(result["contents"][0]["text"], "{\"all\":1}");
    assert!(result["ttlMs"].is_u64());
}

#[tokio::test]
async fn what_meta_lacks_is_named() {
    let server = Server::start(config()).await;
    let sent = Sent::modern("server/discover", json!({}));
    for gap in ["protocolVersion", "clientCapabilities"] {
        let mut body: serde_json::Value = serde_json::from_str(&sent.body).unwrap();
        let key = format!("io.modelcontextprotocol/{gap}");
        body["params"]["_meta"].as_object_mut().unwrap().remove(&key);
        let reply = server.send(&Sent { body: body.to_string(), ..sent.clone() }).await;
        assert_eq!(reply.error(), (400, -32602), "{reply:?}");
        assert_eq!(reply.json()["id"], 7);
        assert!(reply.body.contains(gap), "{reply:?}");
    }
    for meta in [json!(null), json!({}), json!(7), json!([])] {
        let body =
            json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"_meta": meta}});
        let reply = server.send(&Sent { body: body.to_string(), ..sent.clone() }).await;
        assert_eq!(reply.json()["error"]["code"], -32602, "{meta}: {reply:?}");
        assert_eq!(reply.status, 400, "{meta}");
    }
}

#[tokio::test]
async fn unknown_revisions_hear_which_are_spoken() {
    let server = Server::start(config()).await;
    for version in ["v999.0.0", "2025-11-25"] {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": version});
        let sent = Sent::modern("server/discover", json!({"_meta": meta}))
            .header("MCP-Protocol-Version", version);
        let reply = server.send(&sent).await;
        assert_eq!(reply.error(), (400, -32022), "{reply:?}");
        assert_eq!(
            reply.json()["error"]["data"],
            json!({"supported": ["2026-07-28"], "requested": version})
        );
    }
}

#[tokio::test]
async fn headers_that_differ_from_the_body_are_refused() {
    let server = Server::start(config()).await;
    let call = || Sent::modern("tools/call", json!({"name": "run", "arguments": {"code": "x"}}));
    let read = || Sent::modern("resources/read", json!({"uri": "narrows://artifact/art_x"}));
    for (why, sent) in [
        ("no version", call().without("MCP-Protocol-Version")),
        ("another version", call().header("MCP-Protocol-Version", "2025-11-25")),
        ("no method", call().without("Mcp-Method")),
        ("another method", call().header("Mcp-Method", "tools/list")),
        ("another case", call().header("Mcp-Method", "Tools/Call")),
        ("no name", call().without("Mcp-Name")),
        ("another name", call().header("Mcp-Name", "search")),
        ("not base64", call().header("Mcp-Name", "=?base64?%%%?=")),
        ("another uri", read().header("Mcp-Name", "narrows://artifact/art_y")),
    ] {
        let reply = server.send(&sent).await;
        assert_eq!(reply.error(), (400, -32020), "{why}: {reply:?}");
        assert_eq!(reply.json()["id"], 7, "{why}");
    }
    let mut twice = call();
    twice.headers.push(("Mcp-Name".to_owned(), "run".to_owned()));
    assert_eq!(server.send(&twice).await.error(), (400, -32020));
    for sent in [
        call().header("mcp-NAME", "  run \t"),
        call().header("Mcp-Name", "=?base64?cnVu?="),
        read(),
        call().header("Mcp-Session-Id", "ignored").header("Last-Event-ID", "ignored"),
    ] {
        let reply = server.send(&sent).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.json().get("result").is_some(), "{reply:?}");
    }
}

#[tokio::test]
async fn methods_of_the_other_era_and_none_are_404() {
    let server = Server::start(config()).await;
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "prompts/list",
        "unknown/method",
    ] {
        let reply = server.modern(method, json!({})).await;
        assert_eq!(reply.error(), (404, -32601), "{method}: {reply:?}");
    }
}

#[tokio::test]
async fn a_stranger_to_a_resource_or_tool_is_an_error_of_its_params() {
    let server = Server::start(config()).await;
    for uri in [
        "file:///etc/passwd",
        "narrows://artifact/",
        "narrows://artifact/../x",
        "narrows://artifact/art_y",
    ] {
        let reply = server.modern("resources/read", json!({"uri": uri})).await;
        assert_eq!(reply.error(), (200, -32602), "{uri}: {reply:?}");
        assert_eq!(reply.json()["error"]["data"]["uri"], uri, "{reply:?}");
    }
    let reply = server.modern("tools/call", json!({"name": "rm"})).await;
    assert_eq!(reply.error(), (200, -32602));
    let reply = server.send(&Sent::modern("tools/call", json!({"arguments": {}}))).await;
    assert!(reply.body.contains("`params.name` is missing"), "{reply:?}");
}

#[tokio::test]
async fn progress_streams_and_ends_with_the_answer() {
    let server = Server::start(config()).await;
    let call =
        json!({"name": "run", "arguments": {"code": "progress"}, "_meta": {"progressToken": 3}});
    let reply = server.modern("tools/call", call).await;
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    let events = reply.events();
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(
        events[0]["params"],
        json!({"progressToken": 3, "progress": 0.5, "total": 1.0, "message": "half"})
    );
    assert_eq!(events[2]["id"], 7);
    assert_eq!(events[2]["result"]["resultType"], "complete");
}

#[tokio::test]
async fn the_form_of_the_answer_is_the_clients_choice() {
    let server = Server::start(config()).await;
    let call = || Sent::modern("tools/call", json!({"name": "run", "arguments": {"code": "x"}}));
    let reply = server.send(&call().header("Accept", "text/event-stream")).await;
    assert_eq!(reply.events().len(), 1);
    let reply = server.send(&call().header("Accept", "text/html")).await;
    assert_eq!(reply.status, 406);
    let asks = json!({"name": "run", "arguments": {"code": "x"}, "_meta": {"progressToken": 3}});
    let sent = Sent::modern("tools/call", asks).header("Accept", "application/json");
    assert_eq!(server.send(&sent).await.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_its_request() {
    let server = Server::start(config()).await;
    let call = json!({"name": "run", "arguments": {"code": "hang"}});
    let mut waiting = server.open().await;
    waiting.write(&Sent::modern("tools/call", call.clone()).bytes()).await;
    server.ledger.started(1).await;
    drop(waiting);
    server.ledger.cut_off(1).await;

    let mut streaming = server.open().await;
    let sent = Sent::modern("tools/call", call).header("Accept", "text/event-stream");
    streaming.write(&sent.bytes()).await;
    assert_eq!(streaming.head().await.0, 200);
    server.ledger.started(2).await;
    drop(streaming);
    server.ledger.cut_off(2).await;
}

#[tokio::test]
async fn get_and_delete_are_for_sessions_only() {
    let server = Server::start(config()).await;
    for method in ["GET", "DELETE", "PUT"] {
        let reply = server.send(&Sent::new(method, "/mcp", "")).await;
        assert_eq!(reply.status, 405, "{method}: {reply:?}");
        assert!(reply.header("allow").unwrap().contains("POST"), "{method}: {reply:?}");
    }
    let modern = Sent::new("GET", "/mcp", "")
        .header("Mcp-Session-Id", "x")
        .header("MCP-Protocol-Version", "2026-07-28");
    assert_eq!(server.send(&modern).await.status, 405);
}
