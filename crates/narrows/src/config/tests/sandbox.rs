//! The sandbox and the keys: what arrives, and what may stand together.

use super::{environment, folder, loaded};
use crate::compose;
use crate::config::{Flags, Settings, load};
use narrows_sandbox::{CgroupConfig, CgroupPlace, MicrovmDriver, docker};
use narrows_types::{BackendKind, Engine, Layer, Lowered, Network, ReadOnly};
use std::path::{Path, PathBuf};

const FULL: &str = r#"
[limits]
runs_waiting = 9
disk_bytes = 13
files = 14
processes = 15

[sandbox]
backend = "process"
typescript = "deno"
python = "cpython"
offer = ["cpython"]
warm = 1
require = ["landlock", "user_namespace"]
workers_max = 2
cgroup = "/narrows.slice"
workers_memory_bytes = 300_000_000
sessions_max = 5
sessions_idle_s = 6
forks_per_zygote = 3
start_timeout_ms = 4
worker = "~/worker"
cpython_path = "/bin/sh"
venv_path = "~/venv"
deno_path = "/bin/ls"
npm_path = "~/npm"

[sandbox.docker]
socket = "~/docker.sock"
runtime = "runsc"
memory_bytes = 5_000_000_000
cpus = 6
processes = 7
disk_bytes = 8

[sandbox.microvm]
driver = "firecracker"
program = "/opt/firecracker"
jailer = "~/jailer"
image = "~/image"
memory_mib = 128
boot_timeout_ms = 10

[keys.guest]
key = "s"
backend = "wasm"
limits = {wall_ms = 1, cpu_ms = 2, memory_bytes = 3, calls = 0, calls_parallel = 5, result_bytes = 6, value_bytes = 7, log_bytes = 8, disk_bytes = 9, files = 10, processes = 11, read_only = true, network = "none"}

[keys.other]
key = "t"
"#;

/// All that it names is there.
fn full() -> Settings {
    let dir = folder("narrows.toml", FULL);
    for inside in ["venv/lib/python3.11/site-packages", "npm/node_modules"] {
        std::fs::create_dir_all(dir.path().join("home").join(inside)).unwrap();
    }
    std::fs::write(dir.path().join("home/npm/package.json"), "{}").unwrap();
    load(&environment(dir.path(), &[]), &Flags::default()).unwrap().settings
}

#[test]
fn every_key_reaches_the_sandbox() {
    let settings = full();
    let env = environment(Path::new("/of"), &[]);
    let home = |name: &str| PathBuf::from("/of/home").join(name);
    let sandbox = compose::sandbox(&settings, &env, PathBuf::from("/bin/narrows"));
    assert_eq!(sandbox.backend, Some(BackendKind::Process));
    assert_eq!(sandbox.engines, [Engine::Deno, Engine::Cpython, Engine::Cpython]);
    assert_eq!((sandbox.warm, sandbox.concurrent_max, sandbox.waiting_max), (1, 2, 9));
    assert_eq!((sandbox.sessions_max, sandbox.sessions_idle_ms), (5, 6_000));
    assert_eq!((sandbox.forks_per_zygote, sandbox.start_ms), (3, 4));
    assert_eq!(sandbox.require, [Layer::Landlock, Layer::UserNamespace]);
    let place = CgroupPlace::At("/narrows.slice".into());
    let together = CgroupConfig { place, memory_bytes: Some(300_000_000), tasks: 1_152 };
    assert_eq!(sandbox.cgroup, together);
    assert_eq!(sandbox.program, Path::new("/bin/narrows"));
    let [venv, npm] = ["venv", "npm"].map(home);
    let args = [
        crate::WORKER,
        "--python",
        "/bin/sh",
        "--venv",
        venv.to_str().unwrap(),
        "--deno",
        "/bin/ls",
        "--npm",
        npm.to_str().unwrap(),
        "--memory-bytes",
        "134217728",
        "--disk-bytes",
        "13",
        "--files",
        "14",
        "--processes",
        "15",
    ];
    assert_eq!(sandbox.args, args);
    let docker::Config { sockets, runtime, worker, memory_bytes, cpus, processes, disk_bytes } =
        sandbox.docker.unwrap();
    assert_eq!((sockets, worker), (vec![home("docker.sock")], home("worker")));
    assert_eq!(runtime.as_deref(), Some("runsc"));
    assert_eq!((memory_bytes, cpus, processes, disk_bytes), (5_000_000_000, 6, 7, 8));
    let machines = sandbox.microvm.unwrap();
    assert_eq!(machines.driver, MicrovmDriver::Firecracker { jailer: Some(home("jailer")) });
    assert_eq!((machines.program, machines.image), ("/opt/firecracker".into(), home("image")));
    assert_eq!((machines.worker, machines.memory_mib, machines.boot_ms), (home("worker"), 128, 10));
}

#[test]
fn what_a_key_says_of_runs_reaches_the_engine() {
    let engine = compose::engine(&full());
    let [guest, other] = engine.access.keys.as_slice() else { panic!("two keys") };
    // In WebAssembly TypeScript has an engine of its own, whatever others have.
    assert_eq!((guest.backend, other.backend), (Some(BackendKind::Wasm), None));
    let limits = Lowered {
        wall_ms: Some(1),
        cpu_ms: Some(2),
        memory_bytes: Some(3),
        calls: Some(0),
        calls_parallel: Some(5),
        result_bytes: Some(6),
        value_bytes: Some(7),
        log_bytes: Some(8),
        disk_bytes: Some(9),
        files: Some(10),
        processes: Some(11),
        read_only: Some(ReadOnly),
        network: Some(Network::default()),
    };
    assert_eq!((&guest.limits, &other.limits), (&limits, &Lowered::default()));
}

#[test]
fn a_program_without_walls_is_for_this_machine_only() {
    for http in ["127.0.0.1:7300", "[::1]:7300", "unix:/run/narrows.sock"] {
        let text = format!(
            "[serve]\nhttp = \"{http}\"\n[sandbox]\nbackend = \"basic\"\n[keys.g]\nkey = \"s\"\n\
             backend = \"basic\"\n"
        );
        loaded("narrows.toml", &text, &[]);
    }
}

#[test]
fn what_an_engine_needs_of_the_machine_is_looked_at_first() {
    let dir = folder("narrows.toml", "");
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for made in
        ["empty", "npm/node_modules", "sound/node_modules", "venv/lib/python3.1/site-packages"]
    {
        std::fs::create_dir_all(at(made)).unwrap();
    }
    std::fs::write(at("text"), "").unwrap();
    std::fs::write(at("sound/package.json"), "{}").unwrap();
    let told = |key: &str, path: &str| {
        let text = format!("[sandbox]\n{key} = \"{path}\"\n");
        std::fs::write(at("narrows.toml"), text).unwrap();
        let loaded = load(&environment(dir.path(), &[]), &Flags::default());
        loaded.err().map(|found| found.iter().map(ToString::to_string).collect::<String>())
    };
    for (key, path, words) in [
        ("deno_path", at("nothing"), "which does not exist (narrows.toml:2); `npm install deno`"),
        ("deno_path", at("text"), "which cannot be executed (narrows.toml:2); `chmod +x`"),
        ("deno_path", at("empty"), "which is no file"),
        ("deno_path", "deno".to_owned(), "which is relative (narrows.toml:2); write it from"),
        ("cpython_path", at("nothing"), "which does not exist (narrows.toml:2); name a python3"),
        ("venv_path", at("empty"), "which has no lib/python3.*/site-packages"),
        ("npm_path", at("text"), "which is no folder"),
        ("npm_path", at("empty"), "which has a package.json that does not exist"),
        ("npm_path", at("npm"), "which has a package.json that does not exist"),
    ] {
        let found = told(key, &path).unwrap_or_default();
        assert!(
            found.starts_with(&format!("`sandbox.{key}` is ")) && found.contains(words),
            "{found}"
        );
    }
    for (key, path) in
        [("deno_path", "/bin/ls".to_owned()), ("venv_path", at("venv")), ("npm_path", at("sound"))]
    {
        assert_eq!(told(key, &path), None);
    }
}
