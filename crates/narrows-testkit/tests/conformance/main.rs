//! The official conformance suites, and what they cannot reach: stdio, HTTP+SSE, each client era
//! against each upstream era, real clients, and upstreams that fail.
//!
//! `cargo xtask test` installs the parts; a missing one fails the test with that hint.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, start programs and wait"
)]

#[path = "../blackbox/house.rs"]
#[expect(dead_code, reason = "shared with the black-box tests, which use all of it")]
mod house;

#[path = "../durable/places.rs"]
#[expect(dead_code, reason = "shared with the tests of durable runs, which use all of it")]
mod places;

mod agents;
mod cells;
mod clients;
mod compare;
mod fixture;
mod judge;
mod own;
#[path = "../support/server.rs"]
mod server;
mod servers;
mod suites;
mod tap;
