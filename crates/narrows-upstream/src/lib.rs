//! The hand that reaches upstreams: MCP servers over stdio and HTTP, and tools inside Narrows.
//!
//! An upstream is started when somebody needs it, speaks whichever era of the protocol it speaks,
//! and ends with everything that it started. A [`Fleet`] is all of them together. For each upstream
//! a keeper owns its life, a session one connection, a transport the bytes.

mod board;
mod builtin;
mod cache;
mod config;
mod error;
mod fleet;
mod gate;
mod handshake;
mod health;
mod http;
mod items;
mod keeper;
mod lanes;
mod listing;
mod news;
mod oauth;
mod pass;
mod relay;
mod rounds;
mod secrets;
mod session;
mod spawn;
mod stdio;
mod wire;

pub use builtin::NativeTool;
pub use config::{Builtin, Config, Era, Launch, Logins, Pool, ServerConfig, Tier, Transport};
pub use error::UpstreamError;
pub use fleet::{CallOptions, Fleet, Reloaded};
pub use gate::Caller;
pub use items::Items;
pub use oauth::{Grant, LoggedIn, Login, OAuth, login, logout, status};
pub use pass::Passing;
pub use rounds::{Answered, Asks, Rounds};
