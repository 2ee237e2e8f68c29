//! Servers on the official SDKs, over every HTTP transport that they speak.

use crate::house::{PATIENCE, call, fleet, options, raw, status, tools, value};
use crate::real::parts;
use narrows_types::Event;
use narrows_upstream::{CallOptions, Launch, ServerConfig, Transport};
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;

const OLD: &str = "sqlite";
const NEW: &str = "servers";

/// A server in a process of its own, which ends when this is dropped.
pub(crate) struct Remote {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Remote {
    /// A server on the Python SDK: `OLD` speaks the legacy era, `NEW` both.
    #[expect(clippy::disallowed_methods, reason = "the other end of the connection")]
    pub(crate) fn python(parts: &Path, sdk: &str, args: &[&str]) -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/remote.py");
        let mut child = Command::new(parts.join("py").join(sdk).join("bin/python"))
            .arg(script)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }

    /// The official example server on the TypeScript SDK.
    #[expect(clippy::disallowed_methods, reason = "the other end of the connection")]
    async fn everything(parts: &Path, transport: &str, path: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Command::new("node")
            .arg(
                parts
                    .join("npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js"),
            )
            .arg(transport)
            .env("PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let here = Self { child, url: format!("http://127.0.0.1:{port}{path}") };
        let start = std::time::Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(start.elapsed() < PATIENCE, "it does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        here
    }
}

fn tls() {
    // A second test in the same process finds it installed.
    let _again = rustls::crypto::ring::default_provider().install_default();
}

fn sse(url: &str, transport: Transport) -> ServerConfig {
    let Launch::Http { url, urls, headers, .. } = Launch::http(url) else { unreachable!() };
    ServerConfig::new("remote", Launch::Http { url, urls, headers, transport })
}

/// Lists, calls, hears progress, and gives up a call.
async fn exercise(server: ServerConfig) {
    let fleet = fleet(vec![server]);
    fleet.list_all(PATIENCE).await;
    assert_eq!(tools(&fleet, "remote"), ["add", "slow", "who", "steps"], "{:?}", fleet.status());
    let sum = value(&fleet, "remote", "add", json!({"a": 2, "b": 40})).await;
    assert_eq!(sum["result"], 42);
    let (progress, mut heard) = mpsc::channel(16);
    let asked = CallOptions { progress: Some(progress), ..options() };
    fleet.call("remote", "steps", &raw(&json!({})), asked).await.unwrap();
    let mut fractions = Vec::new();
    while let Ok(Event::Progress { fraction, .. }) = heard.try_recv() {
        fractions.extend(fraction);
    }
    let stateless_says_nothing = fractions.is_empty();
    assert!(stateless_says_nothing || fractions.last() == Some(&1.0), "{fractions:?}");
    let many = (0..20).map(|n| value(&fleet, "remote", "add", json!({"a": n, "b": 1})));
    let sums = futures_util::future::join_all(many).await;
    assert!(sums.iter().zip(1..).all(|(sum, n)| sum["result"] == n));
    let dropped = call(&fleet, "remote", "slow", json!({"seconds": 30}));
    assert!(tokio::time::timeout(Duration::from_millis(200), dropped).await.is_err());
    let sum = value(&fleet, "remote", "add", json!({"a": 1, "b": 1})).await;
    assert_eq!(sum["result"], 2, "it goes on");
    fleet.shutdown().await;
}

#[tokio::test]
async fn the_python_sdk_over_every_transport() {
    let parts = parts();
    tls();
    for (sdk, transport) in
        [(OLD, "streamable"), (OLD, "stateless"), (NEW, "streamable"), (NEW, "stateless")]
    {
        let server = Remote::python(&parts, sdk, &[transport]);
        exercise(ServerConfig::new("remote", Launch::http(server.url.as_str()))).await;
    }
    for sdk in [OLD, NEW] {
        let server = Remote::python(&parts, sdk, &["sse"]);
        exercise(sse(&server.url, Transport::Sse)).await;
        // The same found out by asking.
        exercise(sse(&server.url, Transport::Auto)).await;
    }
}

#[tokio::test]
async fn an_sse_server_that_dies_is_lost_and_found_again() {
    let parts = parts();
    tls();
    let server = Remote::python(&parts, OLD, &["sse"]);
    let fleet = fleet(vec![sse(&server.url, Transport::Auto)]);
    value(&fleet, "remote", "add", json!({"a": 1, "b": 1})).await;
    let slow = call(&fleet, "remote", "slow", json!({"seconds": 30}));
    let kill = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(server);
    };
    let (error, ()) = tokio::join!(slow, kill);
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("server remote was lost during the call: its stream"), "{text}");
    let error = call(&fleet, "remote", "add", json!({"a": 1, "b": 1})).await.unwrap_err();
    assert!(error.to_string().contains("did not start: no connection"), "{error}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_server_behind_a_unix_socket() {
    let parts = parts();
    tls();
    let folder = tempfile::tempdir().unwrap();
    for transport in ["streamable", "sse"] {
        let socket = folder.path().join(transport);
        let server = Remote::python(&parts, OLD, &[transport, socket.to_str().unwrap()]);
        exercise(ServerConfig::new("remote", Launch::http(server.url.as_str()))).await;
    }
    let fleet = fleet(vec![ServerConfig::new("remote", Launch::http("unix:relative.sock"))]);
    let text = call(&fleet, "remote", "add", json!({})).await.unwrap_err().to_string();
    assert!(text.contains("its `url` names no socket; write unix:/path/of.sock"), "{text}");
}

#[tokio::test]
async fn the_typescript_sdk_over_both_transports() {
    let parts = parts();
    tls();
    for (transport, path) in [("sse", "/sse"), ("streamableHttp", "/mcp")] {
        let server = Remote::everything(&parts, transport, path).await;
        let fleet = fleet(vec![ServerConfig::new("remote", Launch::http(server.url.as_str()))]);
        fleet.list_all(PATIENCE).await;
        assert!(tools(&fleet, "remote").contains(&"echo".to_owned()), "{:?}", fleet.status());
        let result = call(&fleet, "remote", "echo", json!({"message": transport})).await.unwrap();
        assert_eq!(result.joined_text(), format!("Echo: {transport}"));
        assert_eq!(status(&fleet, "remote").last_error, None);
        fleet.shutdown().await;
    }
}
