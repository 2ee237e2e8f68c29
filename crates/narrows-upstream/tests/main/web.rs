//! A tiny HTTP server that answers as a test says.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) verb: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
    /// The body as it came, if it is no JSON.
    pub(crate) text: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The JSON-RPC method.
    pub(crate) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    /// A successful answer.
    pub(crate) fn answer(&self, result: &Value) -> Answer {
        Answer::json(200, &self.result(result))
    }

    pub(crate) fn result(&self, result: &Value) -> Value {
        json!({"jsonrpc": "2.0", "id": self.body["id"], "result": result})
    }

    /// An answer that tells of an error.
    pub(crate) fn refuse(&self, status: u16, code: i64) -> Answer {
        let error = json!({"code": code, "message": "refused as scripted"});
        Answer::json(status, &json!({"jsonrpc": "2.0", "id": self.body["id"], "error": error}))
    }
}

/// What is sent back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<String>,
    /// The pieces of the body come one by one, and then the connection stays open so long.
    streams: Option<Duration>,
    /// It comes so late.
    after: Duration,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    pub(crate) fn text(status: u16, media: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), media.to_owned())];
        Self { status, headers, body: vec![body.to_owned()], streams: None, after: Duration::ZERO }
    }

    pub(crate) fn empty(status: u16) -> Self {
        let after = Duration::ZERO;
        Self { status, headers: Vec::new(), body: Vec::new(), streams: None, after }
    }

    pub(crate) fn late(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// Events, after which the connection stays open for a while.
    pub(crate) fn events(events: &[String], open: Duration) -> Self {
        let mut answer = Self::text(200, "text/event-stream; charset=utf-8", "");
        answer.body = events.to_vec();
        answer.streams = Some(open);
        answer
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// An event that carries a message.
pub(crate) fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

/// A server on a port of its own; it ends when it is dropped.
pub(crate) struct Web {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Vec<Request>>>,
    /// Requests whose connection was closed before the answer was sent.
    pub(crate) broken: Arc<Mutex<usize>>,
    _tasks: JoinSet<()>,
}

impl Web {
    pub(crate) async fn serve(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        // A second test in the same process finds it installed.
        let _again = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let broken = Arc::new(Mutex::new(0));
        let (answer, log, gone) = (Arc::new(answer), Arc::clone(&seen), Arc::clone(&broken));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log, gone) =
                    (Arc::clone(&answer), Arc::clone(&log), Arc::clone(&gone));
                connections.spawn(async move {
                    let left = converse(BufReader::new(stream), &*answer, &log).await;
                    *gone.lock().unwrap() += usize::from(!left);
                });
            }
        });
        Self { url, seen, broken, _tasks: tasks }
    }

    /// The requests with this JSON-RPC method.
    pub(crate) fn requests(&self, method: &str) -> Vec<Request> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|request| request.method() == method).cloned().collect()
    }
}

/// Answers one request after the other; false if the client went away before its answer.
async fn converse(
    mut stream: BufReader<TcpStream>,
    answer: &(dyn Fn(&Request) -> Answer + Send + Sync),
    log: &Mutex<Vec<Request>>,
) -> bool {
    while let Some(request) = read(&mut stream).await {
        log.lock().unwrap().push(request.clone());
        let answer = answer(&request);
        tokio::time::sleep(answer.after).await;
        if !write(&mut stream, answer).await {
            return false;
        }
    }
    true
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok().filter(|read| *read > 0)?;
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (verb, target) = (words.next()?, words.next()?);
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Request { verb, target, headers, body, text })
}

/// False if the client went away first.
async fn write(stream: &mut BufReader<TcpStream>, answer: Answer) -> bool {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let Some(open) = answer.streams else {
        let body = answer.body.concat();
        head.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n", &body]);
        return stream.write_all(head.as_bytes()).await.is_ok();
    };
    head.push_str("transfer-encoding: chunked\r\n\r\n");
    for piece in &answer.body {
        head.extend([&format!("{:x}", piece.len()), "\r\n", piece, "\r\n"]);
    }
    if stream.write_all(head.as_bytes()).await.is_err() {
        return false;
    }
    // A client that goes away closes its side, which we read as the end.
    let closed = tokio::time::timeout(open, stream.fill_buf()).await;
    if closed.is_ok_and(|read| read.is_ok_and(<[u8]>::is_empty)) {
        return false;
    }
    stream.write_all(b"0\r\n\r\n").await.is_ok()
}
