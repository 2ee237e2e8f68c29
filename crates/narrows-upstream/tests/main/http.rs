//! Streamable HTTP in both eras.

use crate::house::{PATIENCE, call, fleet, options, raw, status, tools, until, value};
use crate::web::{Answer, Request, Web, event};
use narrows_types::{Event, Fault, Kind, Retry, ServerState};
use narrows_upstream::{CallOptions, Era, Fleet, Launch, ServerConfig};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

fn remote(name: &str, url: &str) -> ServerConfig {
    let headers = BTreeMap::from([("authorization".to_owned(), "Bearer t0ken".to_owned())]);
    let Launch::Http { url, urls, transport, .. } = Launch::http(url) else { unreachable!() };
    ServerConfig::new(name, Launch::Http { url, urls, transport, headers })
}

fn over(web: &Web) -> Fleet {
    fleet(vec![remote("web", &web.url)])
}

fn tool_list() -> Value {
    let mirrored = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"}, "n": {"type": "integer"}}});
    let wrong = json!({"type": "object", "properties": {
        "x": {"type": "number", "x-mcp-header": "X"}}});
    json!({"tools": [
        {"name": "echo", "inputSchema": {"type": "object"}},
        {"name": "rout\u{e9}", "inputSchema": mirrored},
        {"name": "wrong", "inputSchema": wrong},
    ]})
}

fn echo(request: &Request) -> Value {
    json!({"content": [], "structuredContent": {"args": request.body["params"]["arguments"]}})
}

/// A stateless server that answers with JSON.
fn modern(request: &Request) -> Answer {
    if request.verb != "POST" {
        return Answer::empty(405);
    }
    match request.method() {
        "server/discover" => request.answer(&json!({"resultType": "complete",
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "web", "version": "3"}}})),
        "tools/list" => request.answer(&tool_list()),
        "tools/call" => request.answer(&echo(request)),
        _ => request.refuse(404, -32601),
    }
}

/// A server with sessions that answers with events.
fn legacy(request: &Request) -> Answer {
    match (request.verb.as_str(), request.method()) {
        ("GET", _) => Answer::empty(405),
        ("DELETE", _) => Answer::empty(204),
        (_, "server/discover") => Answer::text(400, "text/plain", "no session\n"),
        (_, "initialize") => {
            let result = request.result(&json!({"protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}}, "serverInfo": {"name": "old", "version": "1"}}));
            Answer::events(&[event(&result)], Duration::ZERO).with("mcp-session-id", "s-1")
        }
        (_, "notifications/initialized") => Answer::empty(202),
        (_, "tools/list") => request.answer(&tool_list()),
        (_, "tools/call") => {
            let token = &request.body["params"]["_meta"]["progressToken"];
            let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": token, "progress": 1, "total": 2}});
            let result = request.result(&echo(request));
            Answer::events(&[event(&progress), event(&result)], Duration::from_secs(5))
        }
        _ => request.refuse(200, -32601),
    }
}

#[tokio::test]
async fn a_modern_server_is_spoken_to_without_state() {
    let web = Web::serve(modern).await;
    let fleet = over(&web);
    fleet.list_all(PATIENCE).await;
    let told = status(&fleet, "web");
    assert_eq!(told.revision.as_deref(), Some("2026-07-28"));
    assert_eq!(told.version.as_deref(), Some("3"));
    assert_eq!(tools(&fleet, "web"), ["echo", "rout\u{e9}"]);
    assert!(told.skipped[0].starts_with("wrong: the x-mcp-header of x"), "{told:?}");

    let answer = value(&fleet, "web", "rout\u{e9}", json!({"region": "eu west", "n": 2})).await;
    assert_eq!(answer["args"], json!({"region": "eu west", "n": 2}));
    let call = &web.requests("tools/call")[0];
    assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(call.header("mcp-method"), Some("tools/call"));
    assert_eq!(call.header("mcp-name"), Some("=?base64?cm91dMOp?="));
    assert_eq!(call.header("mcp-param-region"), Some("eu west"));
    assert_eq!(call.header("authorization"), Some("Bearer t0ken"));
    assert_eq!(call.header("mcp-session-id"), None);
    assert_eq!(call.header("accept"), Some("application/json, text/event-stream"));
    let meta = &call.body["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({}));
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "narrows");
    fleet.shutdown().await;
    assert!(web.seen.lock().unwrap().iter().all(|request| request.verb == "POST"));
}

#[tokio::test]
async fn a_legacy_server_gets_its_session() {
    let web = Web::serve(legacy).await;
    let fleet = over(&web);
    let (progress, mut heard) = mpsc::channel(4);
    let asked = CallOptions { progress: Some(progress), ..options() };
    let start = Instant::now();
    let result = fleet.call("web", "echo", &raw(&json!({"a": 1})), asked).await.unwrap();
    assert_eq!(result.structured_content.unwrap().get(), r#"{"args":{"a":1}}"#);
    assert!(start.elapsed() < Duration::from_secs(4), "the answer ends the wait, not the stream");
    let Ok(Event::Progress { fraction, .. }) = heard.try_recv() else { unreachable!() };
    assert_eq!(fraction, Some(0.5));
    let call = &web.requests("tools/call")[0];
    assert_eq!(call.header("mcp-session-id"), Some("s-1"));
    assert_eq!(call.header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(call.header("mcp-method"), None);
    assert_eq!(web.requests("initialize")[0].header("mcp-protocol-version"), None);
    fleet.shutdown().await;
    let seen = web.seen.lock().unwrap();
    let end = seen.iter().find(|request| request.verb == "DELETE").unwrap();
    assert_eq!(end.header("mcp-session-id"), Some("s-1"));
}

#[tokio::test]
async fn a_forgotten_session_is_opened_anew_and_the_call_repeated() {
    forgotten(|request| request.refuse(404, -32001)).await;
    // As the official SDKs' servers say it after they were started anew.
    forgotten(|_| {
        let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,
            "message":"Bad Request: No valid session ID provided"}}"#;
        Answer::text(400, "application/json", body)
    })
    .await;
}

async fn forgotten(refuse: fn(&Request) -> Answer) {
    let calls = AtomicUsize::new(0);
    let web = Web::serve(move |request| {
        if request.method() == "tools/call" && calls.fetch_add(1, Ordering::Relaxed) == 1 {
            return refuse(request);
        }
        legacy(request)
    })
    .await;
    let fleet = over(&web);
    value(&fleet, "web", "echo", json!({"n": 1})).await;
    let again = value(&fleet, "web", "echo", json!({"n": 2})).await;
    assert_eq!(again["args"]["n"], 2);
    assert_eq!(web.requests("initialize").len(), 2);
    assert_eq!(web.requests("tools/call").len(), 3);
    fleet.shutdown().await;
}

#[tokio::test]
async fn old_headers_are_mended_by_listing_anew() {
    let calls = AtomicUsize::new(0);
    let web = Web::serve(move |request| {
        if request.method() == "tools/call" && calls.fetch_add(1, Ordering::Relaxed) == 0 {
            return request.refuse(400, -32020);
        }
        modern(request)
    })
    .await;
    let fleet = over(&web);
    fleet.list_all(PATIENCE).await;
    let listed = web.requests("tools/list").len();
    value(&fleet, "web", "echo", json!({})).await;
    assert_eq!(web.requests("tools/list").len(), listed + 1);
    assert_eq!(web.requests("tools/call").len(), 2);
    fleet.shutdown().await;
}

#[tokio::test]
async fn refusals_say_what_they_are() {
    let answers: [(Answer, &str, Kind); 8] = [
        (Answer::empty(401), "server web refused our credentials (HTTP 401)", Kind::Upstream),
        (
            Answer::empty(429).with("retry-after", "7"),
            "server web has too many calls under way: HTTP 429",
            Kind::RateLimited,
        ),
        (
            Answer::text(502, "text/html", "<html>bad gateway</html>"),
            "web.echo: HTTP 502: Bad Gateway",
            Kind::Upstream,
        ),
        (
            Answer::empty(302).with("location", "http://elsewhere.example/"),
            "web.echo: HTTP 302: it redirects to http://elsewhere.example/; set that as its `url`",
            Kind::Upstream,
        ),
        (
            Answer::text(200, "text/html", "<html>"),
            "server web broke the protocol: it answered with content of type `text/html`",
            Kind::Upstream,
        ),
        (
            Answer::text(200, "application/json", "{\"jsonrpc\":"),
            "server web broke the protocol: its answer is not to what was asked",
            Kind::Upstream,
        ),
        (
            Answer::events(&[": nothing\n\n".to_owned()], Duration::ZERO),
            "server web was lost during the call: its stream ended without an answer",
            Kind::Lost,
        ),
        (
            Answer::json(
                400,
                &json!({"jsonrpc": "2.0", "error": {"code": -32602, "message": "no"}}),
            ),
            "web.echo: error -32602: no",
            Kind::Upstream,
        ),
    ];
    let expected: Vec<_> = answers.iter().map(|(_, text, kind)| (*text, *kind)).collect();
    let calls = AtomicUsize::new(0);
    let web = Web::serve(move |request| {
        if request.method() != "tools/call" {
            return modern(request);
        }
        let (answer, ..) = &answers[calls.fetch_add(1, Ordering::Relaxed)];
        answer.clone()
    })
    .await;
    let fleet = over(&web);
    for (text, kind) in expected {
        let error = call(&fleet, "web", "echo", json!({})).await.unwrap_err();
        assert_eq!(error.to_string(), text);
        let fault = Fault::from(error);
        assert_eq!(fault.kind, kind, "{text}");
        if kind == Kind::RateLimited {
            assert_eq!(fault.retry, Retry::AfterMs(7_000));
        }
    }
    assert_eq!(status(&fleet, "web").state, ServerState::Ready, "it stays in use");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_dropped_call_closes_its_exchange() {
    let web = Web::serve(|request| match request.method() {
        "tools/call" => Answer::events(&[": wait\n\n".to_owned()], PATIENCE),
        _ => modern(request),
    })
    .await;
    let fleet = over(&web);
    fleet.list_all(PATIENCE).await;
    let dropped = call(&fleet, "web", "echo", json!({}));
    assert!(tokio::time::timeout(Duration::from_millis(300), dropped).await.is_err());
    until("the server sees it", || *web.broken.lock().unwrap() == 1).await;
    let late = CallOptions { deadline: Instant::now() + Duration::from_millis(300), ..options() };
    let error = fleet.call("web", "echo", &raw(&json!({})), late).await.unwrap_err();
    assert_eq!(Fault::from(error).kind, Kind::Timeout);
    until("the server sees that too", || *web.broken.lock().unwrap() == 2).await;
    assert!(status(&fleet, "web").last_error.unwrap().contains("did not answer within"));
    fleet.shutdown().await;
    // A modern server knows from the end of the exchange.
    assert!(web.requests("notifications/cancelled").is_empty());
}

#[tokio::test]
async fn a_legacy_server_is_told_of_a_call_that_was_given_up() {
    let web = Web::serve(|request| match request.method() {
        "tools/call" => Answer::events(&[": wait\n\n".to_owned()], PATIENCE),
        "notifications/cancelled" => Answer::empty(202),
        _ => legacy(request),
    })
    .await;
    let fleet = over(&web);
    fleet.list_all(PATIENCE).await;
    let dropped = call(&fleet, "web", "echo", json!({}));
    assert!(tokio::time::timeout(Duration::from_millis(300), dropped).await.is_err());
    until("it is told", || !web.requests("notifications/cancelled").is_empty()).await;
    let told = &web.requests("notifications/cancelled")[0];
    assert_eq!(told.header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(told.header("mcp-session-id"), Some("s-1"));
    assert_eq!(told.body["params"]["requestId"], web.requests("tools/call")[0].body["id"]);
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_taken_up_again() {
    let called = Mutex::new(Value::Null);
    let web = Web::serve(move |request| {
        match (request.verb.as_str(), request.method(), request.header("last-event-id")) {
            (_, "tools/call", _) => {
                *called.lock().unwrap() = request.result(&echo(request));
                Answer::events(&["id: e7\nretry: 10\ndata:\n\n".to_owned()], Duration::ZERO)
            }
            ("GET", _, Some("e7")) => {
                Answer::events(&[event(&called.lock().unwrap())], Duration::ZERO)
            }
            _ => legacy(request),
        }
    })
    .await;
    let fleet = over(&web);
    assert_eq!(value(&fleet, "web", "echo", json!({"n": 1})).await["args"]["n"], 1);
    assert_eq!(web.requests("tools/call").len(), 1, "the call itself is not repeated");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_legacy_server_tells_of_changes_on_its_own_stream() {
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    let lists = AtomicUsize::new(0);
    let web = Web::serve(move |request| match (request.verb.as_str(), request.method()) {
        ("GET", _) => Answer::events(&[event(&changed)], PATIENCE),
        (_, "tools/list") if lists.fetch_add(1, Ordering::Relaxed) > 0 => {
            request.answer(&json!({"tools": [{"name": "new", "inputSchema": {}}]}))
        }
        _ => legacy(request),
    })
    .await;
    let fleet = over(&web);
    fleet.list_all(PATIENCE).await;
    until("it is listed anew", || tools(&fleet, "web") == ["new"]).await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_used_says_why() {
    let _again = rustls::crypto::ring::default_provider().install_default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}/mcp?key=s3cr3t", listener.local_addr().unwrap());
    drop(listener);
    let bad = BTreeMap::from([("x-key".to_owned(), "s3cr3t\n".to_owned())]);
    let Launch::Http { url, urls, transport, .. } = Launch::http("http://127.0.0.1/") else {
        unreachable!()
    };
    let bad = Launch::Http { url, urls, transport, headers: bad };
    let fleet = fleet(vec![
        remote("closed", &closed),
        remote("odd", "ftp://example.org/"),
        remote("none", "not a url"),
        ServerConfig::new("bad", bad),
    ]);
    for (server, why) in [
        ("closed", "server closed did not start: no connection: Connection refused (os error 111)"),
        ("odd", "server odd did not start: its `url` has scheme ftp; http, https or unix is taken"),
        ("none", "server none did not start: its `url` is none: relative URL without a base"),
        ("bad", "server bad did not start: header x-key has a value that no header can carry"),
    ] {
        let error = call(&fleet, server, "echo", json!({})).await.unwrap_err();
        assert_eq!(error.to_string(), why);
    }
    let told = format!("{:?}", remote("closed", &closed));
    assert!(!told.contains("s3cr3t") && !told.contains("t0ken"), "{told}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_batch_holds_answers_too() {
    let web = Web::serve(|request| match request.method() {
        "tools/call" => {
            let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
            Answer::json(200, &json!([note, request.result(&echo(request))]))
        }
        _ => legacy(request),
    })
    .await;
    let server = ServerConfig { era: Era::Legacy, ..remote("web", &web.url) };
    let fleet = fleet(vec![server]);
    assert_eq!(value(&fleet, "web", "echo", json!({"n": 1})).await["args"]["n"], 1);
    assert!(web.requests("server/discover").is_empty());
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_is_heard_again_may_have_missed_a_change() {
    let soon = "id: 1\nretry: 10\ndata:\n\n".to_owned();
    let lists = AtomicUsize::new(0);
    let web = Web::serve(move |request| match (request.verb.as_str(), request.method()) {
        ("GET", _) => Answer::events(std::slice::from_ref(&soon), Duration::ZERO),
        (_, "tools/list") if lists.fetch_add(1, Ordering::Relaxed) > 0 => {
            request.answer(&json!({"tools": [{"name": "new", "inputSchema": {}}]}))
        }
        _ => legacy(request),
    })
    .await;
    let fleet = over(&web);
    fleet.list_all(PATIENCE).await;
    until("it is listed anew", || tools(&fleet, "web") == ["new"]).await;
    fleet.shutdown().await;
}
