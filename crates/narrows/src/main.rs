//! The command `narrows`.

use std::process::ExitCode;

/// Counts the memory of Python programs; elsewhere it is the system's allocator.
#[global_allocator]
static ALLOCATOR: narrows::Allocator = narrows::Allocator;

fn main() -> ExitCode {
    narrows::worker().unwrap_or_else(narrows::main)
}
