//! The real binary in a private home, and the real parts that it talks to.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where `cargo xtask test` put the real parts.
pub(crate) fn parts() -> PathBuf {
    let told = std::env::var("NARROWS_PARTS").map(PathBuf::from);
    let parts = told.unwrap_or_else(|_| repository().join(".cache"));
    assert!(
        parts.join("npm/node_modules").is_dir(),
        "run `cargo xtask test`: it installs {}",
        parts.display()
    );
    parts
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A binary of this workspace.
pub(crate) fn binary(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    folder.pop();
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins`", path.display());
    path
}

pub(crate) fn scripted(flags: &[&str]) -> Value {
    json!({"command": binary("scripted-upstream"), "args": flags})
}

pub(crate) fn npm_bin(name: &str) -> String {
    parts().join("npm/node_modules/.bin").join(name).display().to_string()
}

pub(crate) fn python(environment: &str) -> PathBuf {
    parts().join("py").join(environment).join("bin/python")
}

/// A home of its own: config, data, cache, and a folder of files.
pub(crate) struct House {
    pub(crate) home: TempDir,
    pub(crate) config: PathBuf,
}

impl House {
    /// A house with these upstreams (the `mcpServers` form that every client writes).
    pub(crate) fn new(servers: &Value) -> Self {
        Self::with(&json!({"mcpServers": servers}))
    }

    pub(crate) fn with(config: &Value) -> Self {
        let home = TempDir::new().unwrap();
        let path = home.path().join("narrows.json");
        std::fs::write(&path, serde_json::to_string_pretty(config).unwrap()).unwrap();
        std::fs::create_dir(home.path().join("files")).unwrap();
        Self { home, config: path }
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.home.path().join("files")
    }

    /// `narrows` in this home, with its config.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary("narrows"));
        command.arg("--config").arg(&self.config).args(args).current_dir(self.files());
        for (key, value) in self.env() {
            command.env(key, value);
        }
        command
    }

    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        let at = |name: &str| self.home.path().join(name).display().to_string();
        vec![
            ("HOME", self.home.path().display().to_string()),
            ("XDG_DATA_HOME", at("data")),
            ("XDG_CACHE_HOME", at("cache")),
            ("XDG_CONFIG_HOME", at("config")),
        ]
    }

    /// What the inspector says of a request to this address.
    pub(crate) fn inspect(&self, http: &Http, args: &[&str]) -> Value {
        let mut command = Command::new(npm_bin("node"));
        command.arg(npm_bin("mcp-inspector")).args(["--cli", &http.url(), "--transport", "http"]);
        command.args(args).env("HOME", self.home.path());
        let output = command.output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}\n{out}\n{err}"))
    }

    /// Runs a command to its end.
    pub(crate) fn output(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must succeed with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.output(args);
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}\n{out}\n{err}"))
    }

    /// `narrows serve` over stdio.
    pub(crate) fn agent(&self) -> Agent {
        Agent::start(self.command(&["serve"]))
    }

    /// `narrows serve --http` on a free port.
    pub(crate) fn http(&self) -> Http {
        self.http_telling(Stdio::inherit())
    }

    /// The same, with its log there.
    pub(crate) fn http_telling(&self, log: Stdio) -> Http {
        Http::start(log, |args| self.command(args))
    }
}

/// A served HTTP door, ended by its pid.
pub(crate) struct Http {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Http {
    /// Starts what `command` makes of the arguments, on a free port.
    pub(crate) fn start(log: Stdio, command: impl FnOnce(&[&str]) -> Command) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let child = command(&["serve", "--http", &address])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let http = Self { child, address };
        let start = Instant::now();
        while std::net::TcpStream::connect(&http.address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "the HTTP door does not open");
            std::thread::sleep(Duration::from_millis(20));
        }
        http
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// One request over a connection of its own: status line and headers, and the body.
    pub(crate) fn send(&self, head: &str, body: &str) -> (String, String) {
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let host = if head.to_lowercase().contains("\nhost:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let head = head.replace('\n', "\r\n");
        let length = body.len();
        let request = format!(
            "{head}\r\n{host}Connection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        // A server may refuse an oversized body before it has read it.
        let _refused = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _reset = std::io::Read::read_to_end(&mut stream, &mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_owned(), body.to_owned())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let head = format!("POST {path} HTTP/1.1\nAccept: application/json, text/event-stream");
        let (head, body) = self.send(&head, &body.to_string());
        let status = head.split(' ').nth(1).unwrap_or("0").parse().unwrap_or(0);
        (status, body_json(&body))
    }
}

/// The JSON of a plain or a chunked body.
fn body_json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| {
        let start = body.find('{').unwrap_or(0);
        let end = body.rfind('}').map_or(body.len(), |i| i + 1);
        serde_json::from_str(body.get(start..end).unwrap_or("")).unwrap_or(Value::Null)
    })
}

impl Drop for Http {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// Ends a child politely, then not.
pub(crate) fn terminate(child: &mut Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let _gone = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    let start = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if start.elapsed() > Duration::from_secs(10) {
            let _gone = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An MCP client over stdio, as bare as the wire.
pub(crate) struct Agent {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    next: u64,
    pub(crate) notes: Vec<Value>,
}

impl Agent {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout, next: 0, notes: Vec::new() }
    }

    /// Opens in the legacy era.
    pub(crate) fn initialize(&mut self) -> Value {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "blackbox", "version": "1"}});
        let answer = self.request("initialize", &params);
        self.line(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        answer
    }

    pub(crate) fn line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.flush().unwrap();
    }

    /// The next message from the server.
    pub(crate) fn read(&mut self) -> Value {
        let mut line = String::new();
        let bytes = self.stdout.read_line(&mut line).unwrap();
        assert!(bytes > 0, "the server closed its output");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("not JSON on stdout: {e}: {line}"))
    }

    /// A request and its whole answer; notifications on the way are kept.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let id = self.next;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.line(&message.to_string());
        loop {
            let answer = self.read();
            if answer.get("id") == Some(&json!(id)) {
                return answer;
            }
            self.notes.push(answer);
        }
    }

    pub(crate) fn tool(&mut self, name: &str, arguments: &Value) -> Value {
        let answer = self.request("tools/call", &json!({"name": name, "arguments": arguments}));
        answer.get("result").cloned().unwrap_or_else(|| panic!("{name}: {answer}"))
    }

    /// Runs a program; the result of `tools/call`.
    pub(crate) fn run(&mut self, language: &str, code: &str) -> Value {
        self.tool("run", &json!({"code": code, "language": language}))
    }

    /// Runs a program that must return a value that fits.
    pub(crate) fn value(&mut self, language: &str, code: &str) -> Value {
        let result = self.run(language, code);
        let value = result.pointer("/structuredContent/value").cloned();
        value.unwrap_or_else(|| panic!("no value: {result:#}"))
    }

    /// Closes the input and waits for the end.
    pub(crate) fn close(mut self) -> std::process::ExitStatus {
        drop(self.stdin.take());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(15), "it does not end at end of input");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.stdin.take());
        terminate(&mut self.child);
    }
}
