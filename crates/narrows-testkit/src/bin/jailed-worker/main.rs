//! The worker without the rest of Narrows, for tests of the jail. As `worker` it is the real one;
//! as `broken-in` it stands for an engine that a program has taken over.

use narrows_testkit::broken_in::{BrokenIn, beside};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: narrows_worker::Allocator = narrows_worker::Allocator;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("worker") => narrows_worker::main(args),
        Some("broken-in") => narrows_worker::main_with(args, || Ok(BrokenIn)),
        // As what `deno` is started with: this binary in its place.
        Some("run") => beside(),
        Some("never-ready") => loop {
            std::thread::park();
        },
        Some("fails") => {
            narrows_worker::main_with(args, || Err::<BrokenIn, _>("on purpose".to_owned()))
        }
        _ => ExitCode::from(2),
    }
}
