//! The worker by itself, to be linked statically and put into images of containers and of virtual
//! machines. `cargo xtask worker` builds it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: narrows_worker::Allocator = narrows_worker::Allocator;

fn main() -> ExitCode {
    narrows_worker::main(std::env::args().skip(1))
}
