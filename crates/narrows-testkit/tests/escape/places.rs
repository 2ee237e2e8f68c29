//! The back ends that a test run can have. `cargo xtask test` has started a daemon, built the static
//! worker and made an image; without it those that need them are told of and left out.

use crate::house::config;
use crate::machines::qemu;
use narrows_sandbox::{Config, docker};
use narrows_types::BackendKind;
use std::io::Write as _;
use std::path::PathBuf;

/// Containers under a runtime of the daemon's, `None` for its own.
pub(crate) fn containers(runtime: Option<&str>) -> Option<Config> {
    let worker = worker("docker")?;
    let socket = std::env::var_os("NARROWS_TEST_DOCKER").map(PathBuf::from);
    let socket = socket.expect("whoever builds the static worker for tests starts a daemon too");
    let mut docker = docker::Config::new(worker, vec![socket]);
    docker.runtime = runtime.map(str::to_owned);
    let backend = Some(BackendKind::Docker);
    Some(Config { backend, docker: Some(docker), start_ms: 30_000, ..config("worker") })
}

/// Virtual machines of QEMU.
pub(crate) fn machines() -> Option<Config> {
    worker("microvm")?;
    let backend = Some(BackendKind::Microvm);
    Some(Config { backend, microvm: Some(qemu()), ..config("worker") })
}

/// Processes, with a WebAssembly machine in them or without, and processes without walls.
pub(crate) fn here(backend: BackendKind) -> Config {
    Config { backend: Some(backend), ..config("worker") }
}

fn worker(backend: &str) -> Option<PathBuf> {
    let worker = std::env::var_os("NARROWS_STATIC_WORKER").map(PathBuf::from);
    if worker.is_none() {
        let told = writeln!(std::io::stderr(), "{backend} was not run: use `cargo xtask test`");
        told.unwrap();
    }
    worker
}
