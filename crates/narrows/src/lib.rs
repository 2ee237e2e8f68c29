//! Narrows as a library: the whole house inside another application, and the command line.
//!
//! ```no_run
//! use narrows::{Builder, Tool};
//! use std::process::ExitCode;
//!
//! #[global_allocator]
//! static ALLOCATOR: narrows::Allocator = narrows::Allocator;
//!
//! #[derive(serde::Deserialize)]
//! struct Greet {
//!     name: String,
//! }
//!
//! fn main() -> ExitCode {
//!     // Workers that run programs are this binary, started again: they end here.
//!     narrows::worker().unwrap_or_else(|| match application() {
//!         Ok(()) => ExitCode::SUCCESS,
//!         Err(_) => ExitCode::FAILURE,
//!     })
//! }
//!
//! #[tokio::main]
//! async fn application() -> Result<(), Box<dyn std::error::Error>> {
//!     let schema = serde_json::json!({"type": "object", "required": ["name"],
//!         "properties": {"name": {"type": "string"}}});
//!     let greet = Tool::new("greet", "Greets somebody.", schema, |greet: Greet| async move {
//!         Ok(format!("Hello, {}", greet.name))
//!     });
//!     let narrows = Builder::new("servers.time.builtin = \"time\"").tools("app", [greet]).open().await?;
//!     // MCP is at /agent/mcp.
//!     let routes = axum::Router::new().nest("/agent", narrows.router());
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:7300").await?;
//!     tokio::select! {
//!         served = axum::serve(listener, routes) => served?,
//!         () = narrows.upkeep() => {}
//!     }
//!     narrows.close().await;
//!     Ok(())
//! }
//! ```

mod assembly;
mod cli;
mod clients;
mod compose;
mod config;
mod embed;
mod import;
mod own_file;

pub use embed::{Builder, Narrows, OpenError};
pub use narrows_types::{Annotations, Answer, Ask, Event, Fault, Principal, What};
/// A tool written in Rust by the application.
pub use narrows_upstream::NativeTool as Tool;
/// Counts the memory of Python programs; elsewhere it is the system's allocator. An application in
/// which Narrows runs Python sets it as its global allocator.
pub use narrows_worker::Allocator;

use std::process::ExitCode;

/// How the sandbox asks this binary to be a worker. Not for people, so clap does not know it: a
/// worker must not parse a command line, start a runtime or read a config. `narrows worker`, which
/// does jobs, is another thing.
const WORKER: &str = "jailed-worker";

/// What the command `narrows` does.
pub fn main() -> ExitCode {
    cli::main()
}

/// Serves as a worker if this process was started as one, until it has run its program. The first
/// thing that `main` of an application with Narrows inside calls; `None` means: go on.
pub fn worker() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let asked = args.next().is_some_and(|first| first == WORKER);
    asked.then(|| narrows_worker::main(args.map(|arg| arg.to_string_lossy().into_owned())))
}
