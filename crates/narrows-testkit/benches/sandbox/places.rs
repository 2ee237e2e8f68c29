//! The kinds of worker, and how often each is asked.

use crate::blackbox::{binary, parts};
use narrows_sandbox::{Config, MicrovmConfig, Want, docker};
use narrows_types::{BackendKind, Engine};
use std::path::PathBuf;

/// One kind of worker.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) config: Config,
    pub(crate) want: Want,
    pub(crate) rounds: Rounds,
}

/// How often it is asked.
#[derive(Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) cold: usize,
    pub(crate) demand: usize,
    /// After a pause each.
    pub(crate) warm: usize,
    /// One after the other.
    pub(crate) row: usize,
    /// Calls of one run.
    pub(crate) calls: usize,
    /// Workers that wait at once to see what one takes.
    pub(crate) idle: usize,
    /// Programs at once, for three seconds.
    pub(crate) at_once: usize,
}

const FORKED: Rounds =
    Rounds { cold: 5, demand: 50, warm: 300, row: 500, calls: 500, idle: 16, at_once: 16 };
const STARTED: Rounds =
    Rounds { cold: 5, demand: 20, warm: 40, row: 20, calls: 300, idle: 4, at_once: 4 };
const CONTAINER: Rounds =
    Rounds { cold: 3, demand: 5, warm: 10, row: 5, calls: 300, idle: 3, at_once: 2 };
const MACHINE: Rounds =
    Rounds { cold: 1, demand: 5, warm: 5, row: 3, calls: 300, idle: 2, at_once: 2 };

/// All of them; without the static worker those of this machine's own processes.
pub(crate) fn all(worker: Option<&PathBuf>) -> Vec<Place> {
    let program = worker.cloned().unwrap_or_else(|| binary("narrows"));
    let deno = std::fs::read_dir(parts().join("npm/node_modules/@deno")).into_iter().flatten();
    let mut deno = deno.flatten().map(|platform| platform.path().join("deno"));
    let deno = deno.find(|binary| binary.is_file()).unwrap_or_else(|| "deno".into());
    // One that is nothing but a worker takes no word for it.
    let word = if program.ends_with("narrows") { Some("jailed-worker") } else { None };
    let args = word.into_iter().map(str::to_owned);
    let args = args.chain(["--deno".to_owned(), deno.display().to_string()]);
    let base = Config { start_ms: 60_000, ..Config::new(program, args.collect()) };
    let (process, wasm) = (BackendKind::Process, BackendKind::Wasm);
    let mut all = vec![
        place("process quickjs", &base, (process, Engine::Quickjs), FORKED),
        place("process monty", &base, (process, Engine::Monty), FORKED),
        place("process wasm", &base, (process, Engine::Wasm), FORKED),
        place("process cpython", &base, (process, Engine::Cpython), FORKED),
        place("process deno", &base, (process, Engine::Deno), STARTED),
        place("wasm", &base, (wasm, Engine::Wasm), FORKED),
        place("basic quickjs", &base, (BackendKind::Basic, Engine::Quickjs), STARTED),
        place("basic monty", &base, (BackendKind::Basic, Engine::Monty), STARTED),
    ];
    let fixed = std::env::var_os("NARROWS_STATIC_WORKER").map(PathBuf::from);
    let Some(fixed) = fixed else { return all };
    let daemons = [
        ("docker, dockerd", "NARROWS_TEST_DOCKER", None),
        ("docker, podman", "NARROWS_TEST_PODMAN", None),
        ("docker, runsc", "NARROWS_TEST_DOCKER", Some("runsc")),
    ];
    for (name, socket, runtime) in daemons {
        let Some(socket) = std::env::var_os(socket).map(PathBuf::from) else { continue };
        let mut docker = docker::Config::new(fixed.clone(), vec![socket]);
        docker.runtime = runtime.map(str::to_owned);
        let base = Config { docker: Some(docker), ..base.clone() };
        all.push(place(name, &base, (BackendKind::Docker, Engine::Quickjs), CONTAINER));
    }
    let image = parts().join("microvm");
    let microvm = MicrovmConfig { boot_ms: 120_000, ..MicrovmConfig::qemu(image, fixed) };
    let base = Config { microvm: Some(microvm), ..base };
    all.push(place("microvm qemu", &base, (BackendKind::Microvm, Engine::Quickjs), MACHINE));
    all
}

fn place(
    name: &'static str,
    base: &Config,
    (backend, engine): (BackendKind, Engine),
    rounds: Rounds,
) -> Place {
    let config = Config { backend: Some(backend), engines: vec![engine], ..base.clone() };
    let want = Want { engine: Some(engine), ..Want::from(engine.language()) };
    Place { name, config, want, rounds }
}
