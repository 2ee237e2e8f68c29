//! Workers in containers of real daemons: Docker, Podman, and gVisor as one of Docker's runtimes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, start programs and wait"
)]

mod daemon;
mod house;
mod inside;
mod lifecycle;
mod runs;
