//! Narrows inside another axum application, nested under `/agent`, with a tool written in Rust.
//!
//! `cargo run --example nested`, then connect an agent to the address that it prints.
#![expect(clippy::print_stdout, reason = "the example shows where it listens")]

use narrows::{Builder, Tool};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::error::Error;
use std::process::ExitCode;

/// Counts the memory of Python programs; elsewhere it is the system's allocator.
#[global_allocator]
static ALLOCATOR: narrows::Allocator = narrows::Allocator;

fn main() -> ExitCode {
    // Workers that run programs are this binary, started again: they end here.
    narrows::worker().unwrap_or_else(|| match application() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            println!("{e}");
            ExitCode::FAILURE
        }
    })
}

#[derive(Deserialize)]
struct Order {
    item: String,
    pieces: u32,
}

#[derive(Serialize)]
struct Price {
    cents: u32,
}

#[tokio::main]
async fn application() -> Result<(), Box<dyn Error>> {
    let schema = json!({"type": "object", "required": ["item", "pieces"], "properties": {
        "item": {"type": "string"}, "pieces": {"type": "integer", "minimum": 1}}});
    let price = Tool::new("price", "What an order costs.", schema, |order: Order| async move {
        match order.item.as_str() {
            "tea" => Ok(Price { cents: 250 * order.pieces }),
            other => Err(format!("there is no {other}; there is tea")),
        }
    });
    let price = price.output_schema(
        json!({"type": "object", "required": ["cents"], "properties": {"cents": {"type": "integer"}}}),
    );
    let config = "store.url = \"memory:\"\nservers.time.builtin = \"time\"";
    let narrows = Builder::new(config).tools("shop", [price]).open().await?;
    let routes = axum::Router::new()
        .route("/", axum::routing::get(async || "the shop"))
        .nest("/agent", narrows.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/agent/mcp", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, routes) => served?,
        () = narrows.upkeep() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    narrows.close().await;
    Ok(())
}
