//! Escape: hostile programs, hostile frames and hostile system calls against the real jail.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, start programs and wait"
)]

mod benign;
mod broken_in;
mod contained;
mod evaluators;
mod features;
mod house;
mod kept;
mod ledger;
mod lifecycle;
mod limits;
mod machines;
mod measure;
mod network;
mod packages;
mod places;
mod programs;
mod together;
mod walls;
