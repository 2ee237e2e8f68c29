//! Runs that nothing can lose, done to the real binary with real stores: what runs is killed in every
//! phase, questions outlive their gateway, replicas share all. An upstream counts what was done.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests fail by panicking, start programs and wait; they tell figures"
)]

#[path = "../blackbox/house.rs"]
#[expect(dead_code, reason = "shared with the black-box tests, which use all of it")]
mod house;

#[path = "../faults/ground.rs"]
#[expect(dead_code, reason = "shared with the tests of faults, which use all of it")]
mod ground;

mod chance;
mod consent;
mod crash;
mod modern;
mod pauses;
mod places;
mod plant;
mod replicas;
mod rights;
#[path = "../support/server.rs"]
mod server;
