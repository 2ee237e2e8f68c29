//! Plain JSON over HTTP.

use super::client::{Sent, Server};
use super::config;
use serde_json::json;

#[tokio::test]
async fn run_and_search() {
    let server = Server::start(config()).await;
    let reply = server.send(&Sent::json("/v1/run", r#"{"code":"x"}"#)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let body = reply.json();
    assert_eq!((&body["end"], &body["value"]), (&json!("returned"), &json!({"ran": "x"})));
    assert_eq!(body["text"], "ran x");
    let reply = server.send(&Sent::json("/v1/search", r#"{"query":"q"}"#)).await;
    assert_eq!(reply.json()["results"][0]["call"], "github.list_issues");
}

#[tokio::test]
async fn mistakes_have_one_form() {
    let server = Server::start(config()).await;
    for (sent, status, kind, message) in [
        (Sent::json("/v1/run", "{"), 400, "invalid", "the body is not JSON"),
        (Sent::json("/v1/run", "[]"), 400, "invalid", "the arguments of run are not an object"),
        (Sent::json("/v1/run", ""), 400, "invalid", "`code` is missing"),
        (Sent::json("/v1/run", r#"{"code":"bug"}"#), 500, "bug", "broken"),
        (Sent::json("/v1/search", "{}"), 400, "invalid", "`query` is missing"),
        (Sent::json("/v1/tools/x/y", "{}"), 404, "not_found", "unknown server x"),
        (Sent::json("/v1/tools/github/y", "[]"), 400, "invalid", "the body is not an object"),
        (Sent::new("GET", "/v1/artifacts/art_y", ""), 404, "not_found", "artifact art_y"),
        (Sent::new("GET", "/v1/artifacts/art_x?ofset=1", ""), 400, "invalid", "the query string"),
        (Sent::json("/v1/tools/%FF/y", "{}"), 400, "invalid", "the path is not understood"),
        (Sent::new("GET", "/v1/artifacts/%FF", ""), 400, "invalid", "the path is not understood"),
        (Sent::new("GET", "/v1/nothing", ""), 404, "not_found", "no such path /v1/nothing"),
        (Sent::new("GET", "/v1/run", ""), 405, "invalid", "/v1/run does not take this method"),
    ] {
        let reply = server.send(&sent).await;
        let path = sent.path;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        let error = reply.json()["error"].clone();
        assert_eq!(error["kind"], kind, "{path}");
        assert!(error["message"].as_str().unwrap().starts_with(message), "{path}: {error}");
    }
}

#[tokio::test]
async fn when_to_try_again_is_told() {
    let server = Server::start(config()).await;
    let reply = server.send(&Sent::json("/v1/run", r#"{"code":"fault"}"#)).await;
    assert_eq!(reply.status, 408);
    assert_eq!(reply.header("retry-after"), Some("2"));
    assert_eq!(reply.json()["error"]["retry"], json!({"after_ms": 1500}));
}

#[tokio::test]
async fn a_tool_is_called_with_its_arguments() {
    let server = Server::start(config()).await;
    let reply = server.send(&Sent::json("/v1/tools/github/list", r#"{"a": 1}"#)).await;
    assert_eq!(reply.json()["content"][0]["text"], r#"list {"a": 1}"#);
    let reply = server.send(&Sent::new("POST", "/v1/tools/github/list%2Fall", "")).await;
    assert_eq!(reply.json()["content"][0]["text"], "list/all {}");
}

#[tokio::test]
async fn artifacts_are_bytes_that_no_browser_runs() {
    let server = Server::start(config()).await;
    let reply = server.send(&Sent::new("GET", "/v1/artifacts/art_x", "")).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "{\"all\":1}"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("content-disposition"), Some("attachment"));
    assert_eq!(reply.header("narrows-total-bytes"), Some("9"));
    let reply = server.send(&Sent::new("GET", "/v1/artifacts/art_x?offset=2&bytes=3", "")).await;
    assert_eq!((reply.body.as_str(), reply.header("narrows-offset")), ("all", Some("2")));
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_its_program() {
    let server = Server::start(config()).await;
    let mut connection = server.open().await;
    connection.write(&Sent::json("/v1/run", r#"{"code":"hang"}"#).bytes()).await;
    server.ledger.started(1).await;
    drop(connection);
    server.ledger.cut_off(1).await;
}

#[tokio::test]
async fn probes_and_lists() {
    let server = Server::start(config()).await;
    let get = |path| Sent::new("GET", path, "");
    assert_eq!(server.send(&get("/livez")).await.body, "ok\n");
    assert_eq!(server.send(&get("/readyz")).await.body, "ok\n");
    let health = server.send(&get("/health")).await.json();
    assert_eq!((&health["status"], &health["servers"]), (&json!("ok"), &json!({"ready": 1})));
    assert_eq!(health["audit"], json!({"limit": 2}));
    assert_eq!(health["walls"], json!({"seccomp": true}));
    let servers = server.send(&get("/v1/servers")).await.json();
    assert_eq!(servers["servers"][0]["server"], "github");
    assert_eq!(server.send(&get("/v1/tools?server=x")).await.json(), json!({"servers": []}));
}

#[tokio::test]
async fn the_document_names_every_route_that_is_served() {
    let server = Server::start(config()).await;
    let document = server.send(&Sent::new("GET", "/openapi.json", "")).await.json();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().unwrap();
    let mut names: Vec<&str> = paths.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "/health",
            "/livez",
            "/openapi.json",
            "/readyz",
            "/v1/artifacts/{id}",
            "/v1/intents",
            "/v1/intents/{name}",
            "/v1/intents/{name}/rollback",
            "/v1/intents/{name}/test",
            "/v1/jobs",
            "/v1/jobs/{id}",
            "/v1/jobs/{id}/cancel",
            "/v1/jobs/{id}/logs",
            "/v1/jobs/{id}/retry",
            "/v1/mode",
            "/v1/run",
            "/v1/runs",
            "/v1/runs/{id}",
            "/v1/runs/{id}/replay",
            "/v1/runs/{id}/resume",
            "/v1/schedules",
            "/v1/schedules/{id}",
            "/v1/search",
            "/v1/servers",
            "/v1/sessions",
            "/v1/sessions/{id}",
            "/v1/tools",
            "/v1/tools/{server}/{tool}",
        ]
    );
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let real = path
                .replace("{id}", "art_x")
                .replace("{name}", "n")
                .replace("{server}/{tool}", "github/x");
            let method = method.to_uppercase();
            let reply = server.send(&Sent::new(&method, &real, "")).await;
            assert_ne!(reply.status, 405, "{method} {path}");
            assert!(!reply.body.contains("no such path"), "{method} {path}");
        }
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let required = &schemas["RunRequest"]["required"];
    assert_eq!(required, &json!(["code"]));
}
