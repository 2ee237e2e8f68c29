//! What goes wrong around Narrows, done to the real binary with real processes: servers that are
//! killed, hang, flood and talk nonsense; clients that vanish; Narrows killed; a config that changes.
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

mod crowds;
mod deaths;
mod garbage;
mod ground;
mod hangs;
mod reloads;
mod storms;
