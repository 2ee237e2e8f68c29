//! MCP on the wire: envelopes, revisions, names, and typed views of what we inspect. Pure.
//!
//! Nothing here does IO. What is not inspected is borrowed and passed on byte for byte; each tool of
//! a list is parsed alone, so that a broken one costs only itself.

pub mod code;
pub mod envelope;
pub mod header;
mod id;
pub mod meta;
pub mod mirror;
pub mod relay;
pub mod revision;
pub mod rounds;
pub mod seal;
pub mod sse;
pub mod views;

pub use envelope::{Message, RpcError};
pub use id::Id;
pub use revision::Revision;
