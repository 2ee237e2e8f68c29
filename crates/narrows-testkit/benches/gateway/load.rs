//! The load: raw HTTP/1.1 over kept connections, on one thread, each answer checked.

use serde_json::{Value, json};
use std::ops::Range;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
const MODERN: &str = "2026-07-28";

/// In which words a gateway is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speech {
    /// A session opened by `initialize`, one for each connection.
    Legacy,
    /// Requests that stand alone.
    Modern,
    /// No MCP: `POST /v1/tools/SERVER/TOOL`, which only Narrows has.
    Rest,
}

/// Whom to ask what.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) speech: Speech,
    /// The tool that echoes, as the gateway names it.
    pub(crate) tool: String,
}

/// What a window of load showed.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) count: u64,
    /// Calls that were not answered as they must be; each began a new connection.
    pub(crate) failed: u64,
    /// Nanoseconds, sorted.
    pub(crate) times: Vec<u32>,
}

impl Measured {
    /// Microseconds.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let last = self.times.len().saturating_sub(1) as f64;
        f64::from(self.times.get((last * q).round() as usize).copied().unwrap_or(0)) / 1e3
    }
}

/// An answer as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) session: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// One connection and its session.
pub(crate) struct Client {
    stream: TcpStream,
    held: Vec<u8>,
    speech: Speech,
    address: String,
    session: Option<String>,
    tool: String,
    next: u64,
    body: String,
    request: Vec<u8>,
}

impl Client {
    pub(crate) async fn open(target: &Target) -> std::io::Result<Self> {
        let stream = TcpStream::connect(&target.address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            held: Vec::with_capacity(64 << 10),
            speech: target.speech,
            address: target.address.clone(),
            session: None,
            tool: target.tool.clone(),
            next: 0,
            body: String::new(),
            request: Vec::new(),
        };
        if target.speech == Speech::Legacy {
            let params = json!({"protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": {"name": "load", "version": "1"}});
            let opening =
                json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
            let answer = client.send("initialize", &opening.to_string()).await?;
            if answer.status != 200 {
                return Err(wrong(&answer));
            }
            client.session = answer.session;
            let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            client.send("notifications/initialized", &note.to_string()).await?;
        }
        Ok(client)
    }

    /// The names of all tools.
    pub(crate) async fn tools(&mut self) -> std::io::Result<Vec<String>> {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {}});
        let params = if self.speech == Speech::Modern { json!({"_meta": meta}) } else { json!({}) };
        let ask = json!({"jsonrpc": "2.0", "id": "l", "method": "tools/list", "params": params});
        let answer = self.send("tools/list", &ask.to_string()).await?;
        let value = message(&answer).ok_or_else(|| wrong(&answer))?;
        let tools = value["result"]["tools"].as_array().cloned().unwrap_or_default();
        Ok(tools.iter().filter_map(|t| t["name"].as_str().map(ToOwned::to_owned)).collect())
    }

    /// Calls the tool with this text (JSON without quotes); an answer that does not echo it is an
    /// error that repeats the answer.
    pub(crate) async fn echo(&mut self, text: &str) -> std::io::Result<()> {
        let tool = std::mem::take(&mut self.tool);
        let outcome = self.call(&tool, &format!("\"text\":\"{text}\"")).await;
        self.tool = tool;
        let answer = outcome?;
        let found = answer.status == 200 && contains(&answer.body, text.as_bytes());
        if found { Ok(()) } else { Err(wrong(&answer)) }
    }

    /// Calls a tool with these members as arguments.
    pub(crate) async fn call(&mut self, tool: &str, members: &str) -> std::io::Result<Answer> {
        self.next += 1;
        let meta = match self.speech {
            Speech::Rest => return self.send_named(tool, None, &format!("{{{members}}}")).await,
            Speech::Legacy => String::new(),
            Speech::Modern => format!(
                ",\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"{MODERN}\",\
                 \"io.modelcontextprotocol/clientCapabilities\":{{}}}}"
            ),
        };
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        let written = std::fmt::Write::write_fmt(
            &mut body,
            format_args!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"tools/call\",\"params\":{{\"name\":\
                 \"{tool}\",\"arguments\":{{{members}}}{meta}}}}}",
                self.next
            ),
        );
        written.unwrap();
        let answer = self.send_named("tools/call", Some(tool), &body).await;
        self.body = body;
        answer
    }

    async fn send(&mut self, method: &str, body: &str) -> std::io::Result<Answer> {
        self.send_named(method, None, body).await
    }

    async fn send_named(
        &mut self,
        method: &str,
        name: Option<&str>,
        body: &str,
    ) -> std::io::Result<Answer> {
        use std::io::Write as _;
        let mut request = std::mem::take(&mut self.request);
        request.clear();
        let path = if self.speech == Speech::Rest { method } else { "/mcp" };
        write!(
            request,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: \
             application/json, text/event-stream\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        )?;
        match (self.speech, &self.session) {
            (Speech::Modern, _) => {
                write!(request, "MCP-Protocol-Version: {MODERN}\r\nMcp-Method: {method}\r\n")?;
                if let Some(name) = name {
                    write!(request, "Mcp-Name: {name}\r\n")?;
                }
            }
            (Speech::Legacy, Some(session)) => write!(
                request,
                "MCP-Protocol-Version: 2025-06-18\r\nMcp-Session-Id: {session}\r\n"
            )?,
            (Speech::Legacy, None) | (Speech::Rest, _) => {}
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body.as_bytes());
        let answer = tokio::time::timeout(PATIENCE, self.exchange(&request)).await;
        self.request = request;
        answer.unwrap_or_else(|_elapsed| Err(std::io::Error::other("no answer within 30 s")))
    }

    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        self.stream.write_all(request).await?;
        loop {
            if let Some((answer, end)) = parse(&self.held) {
                self.held.drain(..end);
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.held).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn wrong(answer: &Answer) -> std::io::Error {
    let text = String::from_utf8_lossy(&answer.body);
    std::io::Error::other(format!("HTTP {}: {text}", answer.status))
}

/// The message of an answer, plain or as the last event of a stream.
pub(crate) fn message(answer: &Answer) -> Option<Value> {
    serde_json::from_slice(&answer.body).ok().or_else(|| {
        let text = String::from_utf8_lossy(&answer.body);
        let mut events = text.lines().rev().filter_map(|line| line.strip_prefix("data:"));
        events.find_map(|data| serde_json::from_str(data).ok())
    })
}

pub(crate) fn contains(all: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return true };
    let mut rest = all;
    while let Some(at) = rest.iter().position(|b| b == first) {
        rest = &rest[at..];
        if rest.starts_with(part) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// A whole answer at the front, and where it ends.
fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let start = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..start]).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let (mut length, mut chunked, mut session) = (0, false, None);
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = true;
        } else if name.eq_ignore_ascii_case("mcp-session-id") {
            session = Some(value.to_owned());
        }
    }
    let (body, end) = if chunked {
        unchunk(bytes, start)?
    } else {
        (bytes.get(start..start + length)?.to_vec(), start + length)
    };
    Some((Answer { status, session, body }, end))
}

fn unchunk(bytes: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    loop {
        let rest = bytes.get(at..)?;
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let data: Range<usize> = at + line + 2..at + line + 2 + size;
        at = data.end + 2;
        bytes.get(..at)?;
        if size == 0 {
            return Some((body, at));
        }
        body.extend_from_slice(&bytes[data]);
    }
}

/// Runs something asynchronous on this thread.
pub(crate) fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Asks over so many connections at once, each as fast as it is answered.
pub(crate) fn load(target: &Target, connections: usize, window: Duration) -> Measured {
    block(async {
        let mut clients = Vec::new();
        for _ in 0..connections {
            let mut client = Client::open(target).await.unwrap();
            client.echo("warm").await.unwrap();
            clients.push(client);
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, client) in clients.into_iter().enumerate() {
            tasks.spawn(work(target.clone(), client, number, start + window));
        }
        let (mut times, mut failed) = (Vec::new(), 0);
        while let Some(done) = tasks.join_next().await {
            let (mut took, wrong) = done.unwrap();
            times.append(&mut took);
            failed += wrong;
        }
        let seconds = start.elapsed().as_secs_f64();
        times.sort_unstable();
        let count = times.len() as u64;
        Measured { per_second: count as f64 / seconds, count, failed, times }
    })
}

async fn work(target: Target, mut client: Client, number: usize, end: Instant) -> (Vec<u32>, u64) {
    let (mut times, mut failed) = (Vec::with_capacity(100_000), 0);
    let mut round = 0_u64;
    loop {
        let start = Instant::now();
        if start >= end {
            return (times, failed);
        }
        round += 1;
        if let Err(why) = client.echo(&format!("text-{number}-{round}-end")).await {
            crate::note(&format!("{}: {why}", target.tool));
            failed += 1;
            client = Client::open(&target).await.unwrap();
            continue;
        }
        times.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
}
