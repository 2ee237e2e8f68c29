//! Replay: whatever a program does and in whatever order it hears of it, going on from any prefix of
//! its journal ends as if it had never been interrupted. The engine, the jail and the workers are
//! the real ones; only the upstream is a few tools in this process.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod course;
mod house;
mod programs;
mod property;
