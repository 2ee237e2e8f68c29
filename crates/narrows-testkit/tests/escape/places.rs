//! The back ends that a test run can have. `cargo xtask test` has started daemons, built the static
//! worker and made an image, and fails where one does not run; without it those that need them are
//! told of and left out.

use crate::house::config;
use crate::ledger::{broken, left_out, missing};
use crate::machines::qemu;
use crate::walls;
use narrows_sandbox::{Config, MicrovmConfig, Sandbox, docker};
use narrows_types::{BackendKind, Limits};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A program that is linked statically, and the variable that says where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Inside {
    /// The real worker.
    Worker,
    /// One that somebody has broken into.
    BrokenIn,
}

impl Inside {
    fn path(self) -> Option<PathBuf> {
        let variable = match self {
            Self::Worker => "NARROWS_STATIC_WORKER",
            Self::BrokenIn => "NARROWS_STATIC_BROKEN_IN",
        };
        std::env::var_os(variable).map(PathBuf::from)
    }

    fn mode(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::BrokenIn => "broken-in",
        }
    }
}

/// Who makes containers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Maker {
    Docker,
    /// Docker, with a kernel in front of the kernel.
    Gvisor,
    Podman,
}

/// Where attacks are made, and its name in the table of `cargo xtask test`.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) config: Config,
    _folder: Option<TempDir>,
}

impl Place {
    fn new(name: &'static str, config: Config) -> Self {
        Self { name, config, _folder: None }
    }

    /// Starts it.
    pub(crate) async fn open(&self) -> Sandbox {
        let sandbox = Sandbox::start(self.config.clone()).await.unwrap();
        match sandbox.probe().await {
            Ok(_) => sandbox,
            Err(error) => broken(self.name, &error.to_string()),
        }
    }
}

/// What nobody goes without, or why it is not here.
fn place(name: &'static str, config: impl FnOnce() -> Result<Config, String>) -> Option<Place> {
    if left_out(name) {
        return None;
    }
    config().map(|config| Place::new(name, config)).map_err(|why| missing(name, &why)).ok()
}

fn built(inside: Inside) -> Result<PathBuf, String> {
    inside.path().ok_or_else(|| "use `cargo xtask test`".to_owned())
}

/// Processes, with a WebAssembly machine in them or without, and processes without walls.
pub(crate) fn here(backend: BackendKind, inside: Inside) -> Option<Place> {
    place(backend.name(), || Ok(Config { backend: Some(backend), ..config(inside.mode()) }))
}

/// Processes that an ordinary user starts. Where the tests are one's themselves, all others are that.
pub(crate) fn nobody(inside: Inside) -> Option<Place> {
    if left_out("nobody") {
        return None;
    }
    let Some((folder, config)) = walls::as_nobody(inside.mode()) else {
        missing("nobody", "only root can become somebody else, by setpriv");
        return None;
    };
    Some(Place { _folder: Some(folder), ..Place::new("nobody", config) })
}

/// Containers.
pub(crate) fn containers(maker: Maker, inside: Inside) -> Option<Place> {
    let (name, variable, runtime) = match maker {
        Maker::Docker => ("docker", "NARROWS_TEST_DOCKER", None),
        Maker::Gvisor => ("gvisor", "NARROWS_TEST_DOCKER", Some("runsc")),
        Maker::Podman => ("podman", "NARROWS_TEST_PODMAN", None),
    };
    place(name, || {
        let worker = built(inside)?;
        let socket = std::env::var_os(variable).map(PathBuf::from);
        let socket = socket.ok_or_else(|| format!("{variable} names no daemon"))?;
        let mut docker = docker::Config::new(worker, vec![socket]);
        docker.runtime = runtime.map(str::to_owned);
        let backend = Some(BackendKind::Docker);
        Ok(Config { backend, docker: Some(docker), start_ms: 30_000, ..config("worker") })
    })
}

/// Virtual machines of QEMU.
pub(crate) fn machines(inside: Inside) -> Option<Place> {
    place("microvm", || {
        let machines = Some(MicrovmConfig { worker: built(inside)?, ..qemu() });
        let backend = Some(BackendKind::Microvm);
        Ok(Config { backend, microvm: machines, ..config("worker") })
    })
}

/// The system's Python, in processes.
pub(crate) fn cpython() -> Option<Place> {
    place("cpython", || {
        let python = Path::new("/usr/bin/python3");
        python.exists().then(|| config("worker")).ok_or_else(|| "install python3".to_owned())
    })
}

/// The Deno among the parts that `cargo xtask test` installs, in processes.
pub(crate) fn deno() -> Option<Place> {
    deno_with(BackendKind::Process, None)
}

/// Deno wherever it runs, with a folder of packages or without.
pub(crate) fn deno_with(backend: BackendKind, packages: Option<&Path>) -> Option<Place> {
    place("deno", || {
        let folder = part("npm/node_modules/@deno");
        let platforms = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut binaries = platforms.map(|platform| platform.path().join("deno"));
        let binary = binaries.find(|binary| binary.is_file());
        let binary = binary.ok_or_else(|| format!("no deno in {}", folder.display()))?;
        let memory_bytes = Limits::default().memory_bytes.to_string();
        let args = ["--deno", &binary.to_string_lossy(), "--memory-bytes", &memory_bytes];
        let mut config = Config { backend: Some(backend), ..config("worker") };
        config.args.extend(args.map(str::to_owned));
        let packages = packages.map(|folder| ["--npm".to_owned(), folder.display().to_string()]);
        config.args.extend(packages.into_iter().flatten());
        Ok(config)
    })
}

/// One of the parts that `cargo xtask test` installs.
pub(crate) fn part(name: &str) -> PathBuf {
    let told = std::env::var_os("NARROWS_PARTS").map(PathBuf::from);
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
    told.unwrap_or_else(own).join(name)
}
