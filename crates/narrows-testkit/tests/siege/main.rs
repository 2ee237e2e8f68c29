//! Siege: generated programs and forged frames against the real gateway, with canaries beside it.
//!
//! `cargo xtask test` gives each a short share of time; `cargo xtask fuzz sandbox MINUTES` as much
//! as wanted. A failure leaves a file with its seed and its program.
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

mod bait;
mod gateway;
mod generate;
mod siege;

use generate::Attack;

#[test]
fn generated_programs_are_held() {
    siege::lay(Attack::Programs);
}

#[test]
fn forged_frames_are_held() {
    siege::lay(Attack::Frames);
}
