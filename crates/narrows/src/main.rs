//! The binary that puts the house together: command line, config, telemetry, assembly.

mod assembly;
mod cli;
mod clients;
mod compose;
mod config;
mod import;
mod own_file;

use std::process::ExitCode;

/// Counts the memory of Python programs; elsewhere it is the system's allocator.
#[global_allocator]
static ALLOCATOR: narrows_worker::Allocator = narrows_worker::Allocator;

/// How the sandbox asks this binary to be a worker. Not for people, so clap does not know it: a
/// worker must not parse a command line, start a runtime or read a config.
const WORKER: &str = "worker";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == WORKER) {
        return narrows_worker::main(args.map(|arg| arg.to_string_lossy().into_owned()));
    }
    cli::main()
}
