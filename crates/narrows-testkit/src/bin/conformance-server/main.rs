//! The server that the official conformance suites know by the names of its tools, written on the
//! official Rust SDK: `conformance-server --http 127.0.0.1:PORT | --stdio [--eras both|legacy|modern]
//! [--jobs FILE]`; the file is what several processes on stdio have seen of jobs, together.
//! Narrows stands in front of it in the tests; on its own it passes the suites, too.
//!
//! Over HTTP it prints the URL of its endpoint once it listens.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of the tests")]
#![allow(deprecated, reason = "the fixture offers what the newest revision gives up")]

mod dialog;
mod fixture;
mod jobs;
mod offer;
mod rounds;

use fixture::{Eras, Fixture};
use jobs::Waited;
use rmcp::ServiceExt as _;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("conformance-server: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1).cloned()
    };
    let eras = match after("--eras").as_deref() {
        None | Some("both") => Eras::Both,
        Some("legacy") => Eras::Legacy,
        Some("modern") => Eras::Modern,
        Some(other) => return Err(format!("--eras {other}: both, legacy or modern").into()),
    };
    let fixture = Fixture::new(eras, Waited::new(after("--jobs").map(Into::into)))?;
    if words.iter().any(|word| word == "--stdio") {
        let running = fixture.serve(rmcp::transport::stdio()).await?;
        running.waiting().await?;
        return Ok(());
    }
    let address = after("--http").ok_or("say --stdio or --http ADDRESS")?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    let sessions = Arc::new(LocalSessionManager::default());
    let config = StreamableHttpServerConfig::default();
    let endpoint = StreamableHttpService::new(move || Ok(fixture.clone()), sessions, config);
    axum::serve(listener, axum::Router::new().nest_service("/mcp", endpoint)).await?;
    Ok(())
}
