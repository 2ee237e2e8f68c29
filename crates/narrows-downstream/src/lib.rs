//! The door at which agents knock: MCP over stdio and Streamable HTTP in both eras, and REST.
//!
//! A door decodes the wire into an [`Ask`](narrows_types::Ask), hands it to the engine and encodes
//! the answer; it decides nothing else. No hand (upstream, sandbox, store) is known here.

mod arguments;
mod caller;
mod config;
mod conversation;
pub mod fault;
mod http;
mod letters;
mod lines;
mod listen;
mod mcp;
mod parking;
mod progress;
mod render;
mod rest;
mod stdio;
mod tasks;
#[cfg(test)]
mod tests;
mod wire;

pub use config::Config;
pub use http::{LocalDoor, router, serve_http};
pub use stdio::{serve_lines, serve_stdio};
