//! The fleet over real child processes and real sockets.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod asking;
mod cache;
mod house;
mod http;
mod oauth;
mod opening;
mod passing;
mod pools;
mod real;
mod reload;
mod remote;
mod stdio;
mod turns;
mod web;
