//! The transport of 2024-11-05: a stream, and a place to POST to.

use super::client::{Connection, Sent, Server};
use super::{config, front};
use crate::http::{routes, serve_http};
use axum::Router;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A client: its stream and where it posts to.
struct Client {
    stream: Connection,
    text: String,
    endpoint: String,
}

impl Client {
    async fn open(server: &Server, path: &'static str) -> Self {
        let mut stream = server.open().await;
        let get = Sent::new("GET", path, "").header("Accept", "text/event-stream");
        stream.write(&get.bytes()).await;
        let (status, headers) = stream.head().await;
        assert_eq!(status, 200, "{headers:?}");
        let mut client = Self { stream, text: String::new(), endpoint: String::new() };
        let (kind, endpoint) = client.event().await;
        assert_eq!(kind, "endpoint");
        client.endpoint = endpoint;
        client
    }

    /// The next event: its kind and its data.
    async fn event(&mut self) -> (String, String) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().trim().to_owned()
                };
                let event = (field("event:"), field("data:"));
                self.text = rest.to_owned();
                return event;
            }
            self.text.push_str(&self.stream.chunk().await.expect("the stream goes on"));
        }
    }

    async fn message(&mut self) -> Value {
        let (kind, data) = self.event().await;
        assert_eq!(kind, "message");
        serde_json::from_str(&data).unwrap()
    }

    async fn post(&self, server: &Server, message: &Value) -> u16 {
        let text = serde_json::to_string_pretty(message).unwrap();
        server.send(&Sent::json(&self.endpoint, text)).await.status
    }

    async fn initialize(&mut self, server: &Server) {
        let params = json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {}});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        assert_eq!(self.post(server, &message).await, 202);
        let answer = self.message().await;
        assert_eq!(answer["result"]["protocolVersion"], "2024-11-05", "{answer}");
        let message = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(self.post(server, &message).await, 202);
    }

    async fn run(&self, server: &Server, id: u32, code: &str) {
        let meta = json!({"progressToken": "t"});
        let params = json!({"name": "run", "arguments": {"code": code}, "_meta": meta});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        assert_eq!(self.post(server, &message).await, 202);
    }
}

#[tokio::test]
async fn requests_are_answered_on_the_stream() {
    let server = Server::start(config()).await;
    let mut client = Client::open(&server, "/sse").await;
    assert!(client.endpoint.starts_with("/messages?session="), "{}", client.endpoint);
    client.initialize(&server).await;
    client.run(&server, 2, "slow").await;
    let progress = client.message().await;
    assert_eq!(progress["method"], "notifications/progress", "{progress}");
    let answer = client.message().await;
    assert_eq!((&answer["id"], answer["result"].is_object()), (&json!(2), true), "{answer}");
    client.run(&server, 3, "hang").await;
    server.ledger.started(2).await;
    let params = json!({"requestId": 3});
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    assert_eq!(client.post(&server, &cancel).await, 202);
    server.ledger.cut_off(1).await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    const CLIENTS: usize = 200;
    let server = Server::start(config()).await;
    let mut endpoint = String::new();
    // More than may be open at once, unless those before are gone.
    for round in 1..=2 {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(Client::open(&server, "/sse").await);
        }
        let mut last = clients.pop().unwrap();
        last.initialize(&server).await;
        last.run(&server, 2, "hang").await;
        server.ledger.started(round).await;
        endpoint.clone_from(&last.endpoint);
        drop((clients, last));
        server.ledger.cut_off(round).await;
    }
    let reply = server.send(&Sent::json(&endpoint, "{}")).await;
    assert_eq!(reply.status, 404, "{reply:?}");
}

#[tokio::test]
async fn messages_need_a_stream_and_their_form() {
    let server = Server::start(config()).await;
    for path in ["/messages", "/messages?session=x", "/messages?session="] {
        let reply = server.send(&Sent::json(path, "{}")).await;
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
    }
    let client = Client::open(&server, "/sse").await;
    let text = Sent::new("POST", &client.endpoint, "{}").header("Content-Type", "text/plain");
    assert_eq!(server.send(&text).await.status, 415);
    let evil = Sent::json(&client.endpoint, "{}").header("Origin", "http://evil.example");
    assert_eq!(server.send(&evil).await.status, 403);
    let long = Sent::json(&client.endpoint, " ".repeat(10_001));
    assert_eq!(server.send(&long).await.status, 413);
    let evil = Sent::new("GET", "/sse", "").header("Host", "evil.example");
    assert_eq!(server.send(&evil).await.status, 403);
}

#[tokio::test]
async fn below_another_path_the_place_to_post_to_is_too() {
    let (front, ledger) = front(config());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let router = Router::new().nest("/agent", routes(front));
    tasks.spawn(serve_http(listener, router, shutdown.clone()));
    let server = Server { address, ledger, shutdown, tasks };
    let mut client = Client::open(&server, "/agent/sse").await;
    assert!(client.endpoint.starts_with("/agent/messages?session="), "{}", client.endpoint);
    client.initialize(&server).await;
}

#[tokio::test]
async fn the_end_of_the_server_ends_streams() {
    let server = Server::start(config()).await;
    let mut client = Client::open(&server, "/sse").await;
    client.initialize(&server).await;
    server.shutdown.cancel();
    assert_eq!(client.stream.chunk().await, None);
}
