//! The worker of a machine or a container that somebody has broken into, linked statically:
//! `cargo xtask test` builds it beside the real one, and the tests put it into its place.
#![expect(unreachable_pub, dead_code, reason = "the tests' kit shares the module, all of it")]

mod broken_in;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: narrows_worker::Allocator = narrows_worker::Allocator;

fn main() -> ExitCode {
    narrows_worker::main_with(std::env::args().skip(1), || Ok(broken_in::BrokenIn))
}
