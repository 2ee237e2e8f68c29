//! A fleet over scripted servers.

use narrows_types::{ServerStatus, ToolResult};
use narrows_upstream::{CallOptions, Caller, Config, Fleet, Launch, ServerConfig, UpstreamError};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// How long anything here may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The scripted server with these flags.
pub(crate) fn scripted(name: &str, flags: &[&str]) -> ServerConfig {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/server.py");
    let mut args = vec![script.to_str().unwrap().to_owned()];
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let env = BTreeMap::new();
    ServerConfig::new(name, Launch::Stdio { command: "python3".to_owned(), args, env, cwd: None })
}

/// Adds a variable to its environment.
pub(crate) fn with_env(mut server: ServerConfig, name: &str, value: &str) -> ServerConfig {
    if let Launch::Stdio { env, .. } = &mut server.launch {
        env.insert(name.to_owned(), value.to_owned());
    }
    server
}

pub(crate) fn fleet(servers: Vec<ServerConfig>) -> Fleet {
    Fleet::start(Config { servers, ..Config::default() }).unwrap()
}

pub(crate) fn options() -> CallOptions {
    CallOptions {
        deadline: Instant::now() + PATIENCE,
        progress: None,
        caller: Caller::default(),
        rounds: None,
    }
}

pub(crate) fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

pub(crate) async fn call(
    fleet: &Fleet,
    server: &str,
    tool: &str,
    arguments: Value,
) -> Result<ToolResult, UpstreamError> {
    fleet.call(server, tool, &raw(&arguments), options()).await
}

/// The structured result of a call that succeeds.
pub(crate) async fn value(fleet: &Fleet, server: &str, tool: &str, arguments: Value) -> Value {
    let result = call(fleet, server, tool, arguments).await.unwrap();
    result.structured_content.map_or(json!(null), |raw| serde_json::from_str(raw.get()).unwrap())
}

pub(crate) fn status(fleet: &Fleet, server: &str) -> ServerStatus {
    fleet.status().into_iter().find(|status| status.server == server).unwrap()
}

/// The names of the tools that a server lists now.
pub(crate) fn tools(fleet: &Fleet, server: &str) -> Vec<String> {
    let listings = fleet.listings();
    let listings = listings.borrow();
    let listing = listings.iter().find(|listing| listing.server == server);
    listing.map(|l| l.tools.iter().map(|t| t.name.clone()).collect()).unwrap_or_default()
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process is there, zombies included.
pub(crate) fn exists(pid: i64) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}
