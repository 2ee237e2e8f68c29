//! The gateways, how each is started, and the upstreams behind them.

use crate::house::{House, binary, parts, repository, terminate};
use crate::load::{Client, Speech, Target, block};
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the upstream of a gateway is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Behind {
    Stdio,
    Http,
}

impl Behind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
        }
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) name: &'static str,
    pub(crate) behind: Behind,
    child: Child,
    address: String,
    /// Alive as long as the gateway is.
    _house: Option<House>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// An echo upstream of its own over HTTP.
pub(crate) struct Upstream {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Upstream {
    pub(crate) fn start(port: u16) -> Self {
        let mut command = Command::new(binary("echo-upstream"));
        command.args(["--http", &port.to_string()]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }

    pub(crate) fn target(&self, speech: Speech) -> Target {
        let address = self.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
        Target { address, speech, tool: "echo".to_owned() }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An upstream in Narrows' config.
pub(crate) fn stdio_server(name: &str) -> Value {
    json!({"command": binary("echo-upstream"), "args": ["--name", name]})
}

/// Every gateway that can stand before this upstream, by name.
pub(crate) fn names(behind: Behind) -> &'static [&'static str] {
    match behind {
        Behind::Stdio => {
            &["narrows", "npm mcp-proxy", "supergateway", "PyPI mcp-proxy", "fastmcp proxy"]
        }
        // The others take stdio upstreams only.
        Behind::Http => &["narrows", "fastmcp proxy"],
    }
}

impl Gateway {
    /// Starts one by name and waits until it echoes.
    pub(crate) fn start(name: &'static str, behind: Behind, upstream: &Upstream) -> Self {
        if name == "narrows" {
            let server = match behind {
                Behind::Stdio => stdio_server("echo"),
                Behind::Http => json!({"url": upstream.url}),
            };
            return Self::narrows(behind, &json!({"echo": server}));
        }
        let (port, echo) = (free_port(), binary("echo-upstream").display().to_string());
        let text = port.to_string();
        let node = |script: &str| {
            let mut command = Command::new("node");
            command.arg(parts().join("gateways/node_modules").join(script));
            command
        };
        let mut command = match name {
            "npm mcp-proxy" => {
                let mut command = node("mcp-proxy/dist/bin/mcp-proxy.mjs");
                command.args(["--host", "127.0.0.1", "--server", "stream", "--port", &text, "--"]);
                command.arg(&echo);
                command
            }
            "supergateway" => {
                let mut command = node("supergateway/dist/index.js");
                command.args(["--stdio", &echo, "--outputTransport", "streamableHttp"]);
                command.args(["--stateful", "--logLevel", "none", "--port", &text]);
                command
            }
            "PyPI mcp-proxy" => {
                let mut command = Command::new(parts().join("py/mcp-proxy/bin/mcp-proxy"));
                command.args(["--port", &text, "--log-level", "ERROR", "--", &echo]);
                command
            }
            _ => {
                let script = "crates/narrows-testkit/benches/peers/fastmcp_proxy.py";
                let mut command = Command::new(parts().join("py/peers/bin/python"));
                command.arg(repository().join(script)).arg(&text);
                command.arg(if behind == Behind::Http { &upstream.url } else { &echo });
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let address = format!("127.0.0.1:{port}");
        let gateway = Self { name, behind, child, address, _house: None };
        gateway.wait();
        gateway
    }

    /// Narrows, passing these upstreams through.
    pub(crate) fn narrows(behind: Behind, servers: &Value) -> Self {
        let house = House::with(&json!({"servers": servers, "serve": {"mode": "mcp"}}));
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = house.command(&["serve", "--http", &address]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let gateway = Self { name: "narrows", behind, child, address, _house: Some(house) };
        gateway.wait();
        gateway
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As a legacy client and as a modern one, if it serves those.
    pub(crate) fn target(&self, speech: Speech) -> Option<Target> {
        block(self.find(speech)).ok()
    }

    async fn find(&self, speech: Speech) -> std::io::Result<Target> {
        let address = self.address.clone();
        let mut target = Target { address, speech, tool: String::new() };
        if speech == Speech::Rest {
            "/v1/tools/echo/echo".clone_into(&mut target.tool);
            Client::open(&target).await?.echo("once").await?;
            return Ok(target);
        }
        let tools = Client::open(&target).await?.tools().await?;
        let echo = tools.into_iter().find(|name| name.ends_with("echo"));
        target.tool = echo.ok_or_else(|| std::io::Error::other("no tool echoes"))?;
        Client::open(&target).await?.echo("once").await?;
        Ok(target)
    }

    fn wait(&self) {
        let start = Instant::now();
        loop {
            match block(self.find(Speech::Legacy)) {
                Ok(_) => return,
                Err(why) => assert!(
                    start.elapsed() < Duration::from_mins(1),
                    "{} does not serve: {why}",
                    self.name
                ),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
