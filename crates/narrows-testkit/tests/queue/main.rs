//! The queue under workers that are real processes and die all the time: nothing lost, nothing done
//! twice, on every store that it can lie in.
//!
//! `NARROWS_TEST_FULL=1` makes it as long as it was once promised: 5,000 jobs, kills for a minute.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests fail by panicking, start programs and wait; they tell figures"
)]

#[cfg(feature = "brokers")]
#[path = "../../../narrows-store/src/wakes/tests/broker.rs"]
mod broker;
#[cfg(feature = "brokers")]
mod brokers;
mod crowd;
mod deaths;
mod diary;
#[path = "../support/server.rs"]
mod server;
mod servers;
