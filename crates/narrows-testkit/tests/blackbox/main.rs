//! The real binary, real MCP servers, real clients: what a user gets, seen from outside.
//!
//! `cargo xtask test` installs the parts; a missing one fails the test with that hint.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests fail by panicking, start programs and wait"
)]

mod bad_input;
mod clients;
mod documents;
mod floods;
mod house;
mod jobs;
mod keys;
mod lifecycle;
mod manifest;
mod output;
mod seven;
mod state;
