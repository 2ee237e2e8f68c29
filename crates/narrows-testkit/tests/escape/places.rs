//! The back ends that a test run can have. `cargo xtask test` has started a daemon, built the static
//! worker and made an image; without it those that need them are told of and left out.

use crate::house::config;
use crate::machines::qemu;
use narrows_sandbox::{Config, MicrovmConfig, docker};
use narrows_types::BackendKind;
use std::io::Write as _;
use std::path::PathBuf;

/// A program that is linked statically, and the variable that says where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Inside {
    /// The real worker.
    Worker,
    /// One that somebody has broken into.
    BrokenIn,
}

impl Inside {
    fn path(self, backend: &str) -> Option<PathBuf> {
        let variable = match self {
            Self::Worker => "NARROWS_STATIC_WORKER",
            Self::BrokenIn => "NARROWS_STATIC_BROKEN_IN",
        };
        let path = std::env::var_os(variable).map(PathBuf::from);
        if path.is_none() {
            let told = writeln!(std::io::stderr(), "{backend} was not run: use `cargo xtask test`");
            told.unwrap();
        }
        path
    }
}

/// Containers under a runtime of the daemon's, `None` for its own.
pub(crate) fn containers(runtime: Option<&str>, inside: Inside) -> Option<Config> {
    let worker = inside.path(runtime.unwrap_or("docker"))?;
    let socket = std::env::var_os("NARROWS_TEST_DOCKER").map(PathBuf::from);
    let socket = socket.expect("whoever builds the static worker for tests starts a daemon too");
    let mut docker = docker::Config::new(worker, vec![socket]);
    docker.runtime = runtime.map(str::to_owned);
    let backend = Some(BackendKind::Docker);
    Some(Config { backend, docker: Some(docker), start_ms: 30_000, ..config("worker") })
}

/// Virtual machines of QEMU.
pub(crate) fn machines(inside: Inside) -> Option<Config> {
    let machines = MicrovmConfig { worker: inside.path("microvm")?, ..qemu() };
    let backend = Some(BackendKind::Microvm);
    Some(Config { backend, microvm: Some(machines), ..config("worker") })
}

/// Processes, with a WebAssembly machine in them or without, and processes without walls.
pub(crate) fn here(backend: BackendKind) -> Config {
    Config { backend: Some(backend), ..config("worker") }
}
