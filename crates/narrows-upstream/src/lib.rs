//! The hand that reaches upstreams: MCP servers over stdio and HTTP, and tools inside Narrows.

mod builtin;
mod config;
mod error;

pub use config::{Builtin, Config, Era, Launch, ServerConfig};
pub use error::UpstreamError;
