//! Where faults are made: servers that are known by a mark, and clients that see every answer.

use crate::house::{House, Http, binary};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a state may take to come: far longer than it ever does.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// The variable that marks what a test started, and all that this starts.
const MARK: &str = "NARROWS_FAULT_TEST";

/// A folder of files, and the servers that write into it.
pub(crate) struct Ground {
    folder: TempDir,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lets those go on who wait for a file.
    pub(crate) fn release(&self, name: &str) {
        std::fs::write(self.path(name), "").unwrap();
    }

    /// The variable by which a server's processes are known.
    pub(crate) fn mark(&self, server: &str) -> (String, String) {
        (MARK.to_owned(), self.path(server).display().to_string())
    }

    /// A server with tools that go wrong, which writes down what arrives.
    pub(crate) fn faulty(&self, server: &str) -> Value {
        let (name, mark) = self.mark(server);
        let log = self.path(&format!("{server}.log"));
        json!({"command": binary("scripted-upstream"), "env": {name: mark},
            "args": ["--era", "legacy", "--faults", "--log", log]})
    }

    /// Its living processes, with all that they started.
    pub(crate) fn processes(&self, server: &str) -> Vec<Pid> {
        let (name, mark) = self.mark(server);
        let wanted = format!("{name}={mark}");
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            // Processes of others, and those that have just ended.
            let Ok(environ) = std::fs::read(entry.path().join("environ")) else { continue };
            if environ.split(|b| *b == 0).any(|variable| variable == wanted.as_bytes()) {
                found.push(Pid::from_raw(pid));
            }
        }
        found
    }

    /// The only process of a server.
    pub(crate) fn process(&self, server: &str) -> Pid {
        let all = self.processes(server);
        assert_eq!(all.len(), 1, "{server}: {all:?}");
        all[0]
    }

    /// The processes at which calls of a tool arrived, in order.
    pub(crate) fn arrived(&self, server: &str, tool: &str) -> Vec<Pid> {
        let log = std::fs::read_to_string(self.path(&format!("{server}.log"))).unwrap_or_default();
        let calls = log.lines().filter_map(|line| line.split_once(' '));
        let calls = calls.filter(|(name, _)| *name == tool);
        calls.map(|(_, pid)| Pid::from_raw(pid.parse().unwrap())).collect()
    }

    pub(crate) fn until_arrived(&self, server: &str, tool: &str, times: usize) {
        until(&format!("{times} calls of {server}.{tool} arrive"), || {
            self.arrived(server, tool).len() >= times
        });
    }
}

pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn signal(process: Pid, signal: Signal) {
    kill(process, signal).unwrap();
}

/// A house that passes everything on.
pub(crate) fn passing(servers: &Value) -> House {
    House::with(&json!({"serve": {"mode": "mcp"}, "servers": servers}))
}

/// KiB of a figure in `/proc/PID/status`.
pub(crate) fn memory_kb(pid: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What Narrows says of a server.
pub(crate) fn status(http: &Http, server: &str) -> Value {
    let (_, body) = http.send("GET /v1/servers HTTP/1.1", "");
    let told: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
    let servers = told["servers"].as_array().unwrap();
    servers.iter().find(|one| one["server"] == server).cloned().unwrap()
}

/// A legacy client over HTTP.
pub(crate) struct Visitor<'a> {
    http: &'a Http,
    pub(crate) session: String,
    next: AtomicU64,
}

impl<'a> Visitor<'a> {
    pub(crate) fn open(http: &'a Http) -> Self {
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "faults", "version": "1"}});
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let post = "POST /mcp HTTP/1.1\nAccept: application/json, text/event-stream";
        let (head, body) = http.send(post, &message.to_string());
        let session = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
        });
        let session = session.unwrap_or_else(|| panic!("no session: {head}\n{body}"));
        Self { http, session, next: AtomicU64::new(1) }
    }

    /// All that comes back for a request.
    pub(crate) fn text(&self, method: &str, params: &Value, id: &str) -> String {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let head = format!(
            "POST /mcp HTTP/1.1\nAccept: application/json, text/event-stream\nMcp-Session-Id: {}",
            self.session
        );
        self.http.send(&head, &message.to_string()).1
    }

    /// The answer to a request.
    pub(crate) fn request(&self, method: &str, params: &Value) -> Value {
        let id = format!("n{}", self.next.fetch_add(1, Ordering::Relaxed));
        let body = self.text(method, params, &id);
        // Plain, chunked or a stream of events: messages are lines that begin with a brace.
        let found = body.lines().map(|line| line.trim_start_matches("data: ")).find_map(|line| {
            serde_json::from_str::<Value>(line).ok().filter(|message| message["id"] == id)
        });
        found.unwrap_or_else(|| panic!("{method}: no answer: {body:.2000}"))
    }

    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> Value {
        self.request("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    /// A call that must give back its text.
    pub(crate) fn echo(&self, server: &str, text: &str) {
        let answer = self.call(&format!("{server}.echo"), &json!({"text": text}));
        assert_eq!(answer["result"]["structuredContent"]["echo"], text, "{answer:.500}");
    }
}
