//! A client that sends exactly the bytes that it is told to.

use super::{Config, Ledger, PATIENCE, front, meta};
use crate::http::{routes, serve_http};
use crate::mcp::Front;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A running server; it ends with the test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) ledger: Ledger,
    pub(super) shutdown: CancellationToken,
    pub(super) tasks: JoinSet<std::io::Result<()>>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The messages of an event stream.
    pub(super) fn events(&self) -> Vec<Value> {
        assert_eq!(self.header("content-type"), Some("text/event-stream"), "{self:?}");
        self.body
            .lines()
            .filter_map(|line| line.strip_prefix("data: ").filter(|data| !data.is_empty()))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// Status and JSON-RPC error code.
    pub(super) fn error(&self) -> (u16, i64) {
        (self.status, self.json()["error"]["code"].as_i64().unwrap_or_default())
    }
}

impl Server {
    pub(super) async fn start(config: Config) -> Self {
        let (front, ledger) = front(config);
        Self { ledger, ..Self::with(front).await }
    }

    pub(super) async fn with(front: Front) -> Self {
        let ledger = Ledger::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_http(listener, routes(front), shutdown.clone()));
        Self { address, ledger, shutdown, tasks }
    }

    pub(super) async fn open(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Connection { stream: BufReader::new(stream) }
    }

    /// One request on a connection of its own.
    pub(super) async fn send(&self, request: &Sent<'_>) -> Reply {
        let mut connection = self.open().await;
        connection.write(&request.bytes()).await;
        connection.reply().await
    }

    /// A modern request with all that belongs to it.
    pub(super) async fn modern(&self, method: &str, params: Value) -> Reply {
        self.send(&Sent::modern(method, params)).await
    }

    /// Opens a legacy session and gives its id.
    pub(super) async fn session(&self, version: &str) -> String {
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {}});
        let reply = self.send(&Sent::message("initialize", &params)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.header("mcp-session-id").expect("a session").to_owned()
    }

    pub(super) async fn legacy(&self, session: &str, method: &str, params: Value) -> Reply {
        self.send(&Sent::message(method, &params).header("mcp-session-id", session)).await
    }
}

/// A request to be sent.
#[derive(Clone)]
pub(super) struct Sent<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl<'a> Sent<'a> {
    pub(super) fn new(method: &'a str, path: &'a str, body: impl Into<String>) -> Self {
        let headers = vec![("Host".to_owned(), "localhost".to_owned())];
        Self { method, path, headers, body: body.into() }
    }

    pub(super) fn json(path: &'a str, body: impl Into<String>) -> Self {
        Self::new("POST", path, body).header("Content-Type", "application/json")
    }

    /// A POST of one request to `/mcp`.
    pub(super) fn message(method: &str, params: &Value) -> Self {
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        Self::json("/mcp", body.to_string()).header("Accept", "application/json, text/event-stream")
    }

    /// The same with everything that 2026-07-28 wants.
    pub(super) fn modern(method: &str, mut params: Value) -> Self {
        params["_meta"] = match params.get("_meta") {
            Some(given) => {
                let mut all = meta();
                all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
                all
            }
            None => meta(),
        };
        let name = params.get("name").or(params.get("uri")).and_then(Value::as_str);
        let mut sent = Self::message(method, &params)
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", method);
        if let Some(name) = name {
            sent = sent.header("Mcp-Name", name);
        }
        sent
    }

    /// Sets a header in place of an earlier value.
    pub(super) fn header(self, name: &str, value: &str) -> Self {
        let mut sent = self.without(name);
        sent.headers.push((name.to_owned(), value.to_owned()));
        sent
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        write!(head, "Content-Length: {}\r\n\r\n{}", self.body.len(), self.body).unwrap();
        head.into_bytes()
    }
}

pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.unwrap();
    }

    /// Sends what a client dawdles over, byte by byte, until the server hangs up.
    pub(super) async fn dawdle(&mut self, bytes: &[u8]) {
        let hung_up = async {
            for byte in bytes.iter().cycle() {
                if self.stream.get_mut().write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, hung_up).await.expect("the server hangs up");
    }

    /// Waits for the server to hang up without another byte.
    pub(super) async fn hung_up(&mut self) {
        assert_eq!(self.line().await, "");
    }

    /// A whole response.
    pub(super) async fn reply(&mut self) -> Reply {
        let whole = async {
            let (status, headers) = self.head().await;
            let mut reply = Reply { status, headers, body: String::new() };
            if reply.header("transfer-encoding") == Some("chunked") {
                while let Some(chunk) = self.chunk().await {
                    reply.body.push_str(&chunk);
                }
            } else {
                let length = reply.header("content-length").unwrap_or("0").parse().unwrap();
                let mut body = vec![0; length];
                self.stream.read_exact(&mut body).await.unwrap();
                reply.body = String::from_utf8(body).unwrap();
            }
            reply
        };
        tokio::time::timeout(PATIENCE, whole).await.expect("a whole response in time")
    }

    pub(super) async fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let first = self.line().await;
        let status =
            first.split(' ').nth(1).unwrap_or_else(|| panic!("{first:?}")).parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { return (status, headers) };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// The next chunk; `None` at the end of the body.
    pub(super) async fn chunk(&mut self) -> Option<String> {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await.unwrap();
        chunk.truncate(size);
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line));
        read.await.expect("a line in time").unwrap();
        line.trim_end().to_owned()
    }
}
