//! The command `narrows`, all of whose workers somebody has broken into.

use narrows_testkit::broken_in::BrokenIn;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: narrows::Allocator = narrows::Allocator;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().is_some_and(|first| first == "jailed-worker") {
        return narrows_worker::main_with(args, || Ok(BrokenIn));
    }
    narrows::main()
}
