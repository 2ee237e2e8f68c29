//! The fixture server, and Narrows in front of it.

use crate::house::{House, Http, binary, python, repository};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Starts a server that prints its URL once it listens.
fn listening(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (child, url.trim().to_owned())
}

/// The fixture over HTTP, ended with the test.
pub(crate) struct Fixture {
    child: Child,
    pub(crate) url: String,
}

impl Fixture {
    pub(crate) fn http(eras: &str) -> Self {
        let mut command = Command::new(binary("conformance-server"));
        command.args(["--http", "127.0.0.1:0", "--eras", eras]).stdin(Stdio::null());
        let (child, url) = listening(command);
        Self { child, url }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches("/mcp")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        crate::house::terminate(&mut self.child);
    }
}

/// The fixture as an upstream over stdio.
pub(crate) fn stdio(eras: &str) -> Value {
    json!({"command": binary("conformance-server"), "args": ["--stdio", "--eras", eras]})
}

/// Narrows that passes everything through, under the names that the upstream gave.
pub(crate) fn passing(upstream: Value) -> House {
    House::with(&passes(upstream))
}

/// The config of it.
pub(crate) fn passes(mut upstream: Value) -> Value {
    upstream["prefix"] = json!(false);
    json!({"serve": {"mode": "mcp"}, "servers": {"fixture": upstream}})
}

/// The same, served over HTTP.
pub(crate) fn served(upstream: Value) -> (House, Http) {
    let house = passing(upstream);
    let http = house.http();
    (house, http)
}

/// The fixture behind the transport of revision 2024-11-05.
pub(crate) struct Bridge {
    child: Child,
    pub(crate) url: String,
}

impl Bridge {
    pub(crate) fn before_the_fixture() -> Self {
        let driver = "crates/narrows-testkit/tests/conformance/drivers/sse_bridge.py";
        let mut command = Command::new(python("tools"));
        command.arg(repository().join(driver)).arg(binary("conformance-server"));
        command.args(["--stdio", "--eras", "legacy"]).stdin(Stdio::piped());
        let (child, url) = listening(command);
        Self { child, url }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        crate::house::terminate(&mut self.child);
    }
}
