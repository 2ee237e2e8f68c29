//! The walls as the kernel tells of them, for root and for an ordinary user, and what happens
//! where somebody takes them down from outside.

use crate::house::{LONG, config, health, program, run};
use narrows_sandbox::Sandbox;
use narrows_types::frame::{End, ToWorker};
use narrows_types::{Language, Layer, Limits};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The processes below this one, by `/proc`, however deep.
pub(crate) fn descendants(of: u32) -> Vec<u32> {
    let mut all = children(of);
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        all.extend(children(pid));
        next += 1;
    }
    all
}

fn children(of: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<_>>())
        .collect()
}

pub(crate) fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn field(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default().trim().to_owned()
}

/// One worker that has its program and waits: sandbox, its lease, its pid.
async fn waiting(sandbox: &Sandbox) -> (narrows_sandbox::Lease, u32) {
    let language = Language::Python;
    let mut lease = sandbox.lease(language, Instant::now() + LONG).await.unwrap();
    let limits = Limits { cpu_ms: 2_000, ..Limits::default() };
    lease.send(&ToWorker::Run(Box::new(program(language, "1", limits)))).await.unwrap();
    lease.receive().await.unwrap();
    let health = health(sandbox, language);
    let pid = *descendants(health.pid.unwrap()).last().unwrap();
    (lease, pid)
}

async fn sandbox() -> Sandbox {
    let config = narrows_sandbox::Config { warm: 0, ..config("worker") };
    Sandbox::start(config).await.unwrap()
}

#[tokio::test]
async fn a_waiting_worker_is_sealed() {
    let sandbox = sandbox().await;
    let (lease, pid) = waiting(&sandbox).await;
    let layers = sandbox.layers();
    let holds = |layer| layers.iter().any(|state| state.layer == layer && state.reached);
    assert_eq!(field(pid, "NoNewPrivs:"), "1");
    assert_eq!(field(pid, "Seccomp:"), "2");
    assert_eq!(field(pid, "Threads:"), "1");
    if holds(Layer::Capabilities) {
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(pid, set).trim_start_matches('0'), "", "{set}");
        }
        assert!(!field(pid, "Uid:").split_whitespace().any(|uid| uid == "0"));
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for (name, soft) in [
        ("Max cpu time", "3"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
        ("Max open files", "1"),
        ("Max processes", "0"),
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.split_whitespace().next(), Some(soft), "{name}: {line}");
    }
    // One descriptor: its socket. (Only root may look.)
    if let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) {
        let fds: Vec<_> = fds.flatten().map(|fd| fs::read_link(fd.path()).unwrap()).collect();
        let socket = |path: &PathBuf| path.to_string_lossy().starts_with("socket:");
        assert!(fds.len() == 1 && fds.iter().all(socket), "{fds:?}");
    }
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).ok();
    let its = |name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
    for (layer, name) in [
        (Layer::UserNamespace, "user"),
        (Layer::PidNamespace, "pid"),
        (Layer::MountNamespace, "mnt"),
        (Layer::NetNamespace, "net"),
        (Layer::IpcNamespace, "ipc"),
        (Layer::UtsNamespace, "uts"),
    ] {
        if holds(layer) && its(name).is_some() {
            assert_ne!(own(name), its(name), "{layer}");
        }
    }
    if holds(Layer::MountNamespace)
        && let Ok(root) = fs::read_dir(format!("/proc/{pid}/root"))
    {
        assert_eq!(root.count(), 0, "the root is empty");
    }
    if let Ok(environment) = fs::read_to_string(format!("/proc/{pid}/environ")) {
        assert_eq!(environment, "TZ=UTC0\0");
    }
    drop(lease);
    sandbox.shutdown().await;
}

/// As root: every layer holds on a machine like the ones that this is developed on.
#[tokio::test]
async fn the_floor_holds_and_the_rest_is_told() {
    let sandbox = sandbox().await;
    let layers = sandbox.probe().await.unwrap();
    for state in &layers {
        assert!(state.reached || !Layer::FLOOR.contains(&state.layer), "{state:?}");
        assert_eq!(state.reached, state.why.is_empty(), "{state:?}");
    }
    sandbox.shutdown().await;
}

/// Not under `target`, which may be closed to others.
pub(crate) fn public_copy(of: &Path) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let copy = folder.path().join("worker");
    fs::copy(of, &copy).unwrap();
    for path in [folder.path(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    (folder, copy)
}

/// Zygotes that an ordinary user starts, and the folder of their binary. `None` where this is no
/// root: then every other test here is one of an ordinary user.
pub(crate) fn as_nobody(mode: &str) -> Option<(tempfile::TempDir, narrows_sandbox::Config)> {
    let setpriv = PathBuf::from("/usr/bin/setpriv");
    if !nix::unistd::Uid::effective().is_root() || !setpriv.is_file() {
        return None;
    }
    let (folder, worker) = public_copy(Path::new(env!("CARGO_BIN_EXE_jailed-worker")));
    let args = ["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=KILL", "--"];
    let mut args: Vec<String> = args.map(str::to_owned).to_vec();
    args.push(worker.to_string_lossy().into_owned());
    args.push(mode.to_owned());
    let base = config(mode);
    Some((folder, narrows_sandbox::Config { program: setpriv, args, ..base }))
}

#[tokio::test]
async fn an_ordinary_user_is_as_safe() {
    let Some((folder, config)) = as_nobody("worker") else { return };
    let sandbox = Sandbox::start(config).await.unwrap();
    let layers = sandbox.probe().await.unwrap();
    for state in &layers {
        eprint_state(state);
        assert!(state.reached || !Layer::FLOOR.contains(&state.layer), "{state:?}");
    }
    let (lease, pid) = waiting(&sandbox).await;
    assert_eq!(field(pid, "Seccomp:"), "2");
    assert_eq!(field(pid, "CapEff:").trim_start_matches('0'), "");
    drop(lease);
    let ran = run(&sandbox, program(Language::Python, "1 + 1", Limits::default())).await;
    assert!(matches!(ran.end.unwrap().end, End::Value(value) if value.get() == "2"));
    crate::evaluators::is_confined(&sandbox).await;
    sandbox.shutdown().await;
    drop(folder);
}

#[expect(clippy::print_stderr, reason = "shows with --no-capture which layers this machine has")]
fn eprint_state(state: &narrows_types::LayerState) {
    eprintln!("{}: {} {}", state.layer, state.reached, state.why);
}

/// As inside a container that grants no namespaces: what is left is told, holds, and serves.
#[tokio::test]
async fn without_namespaces_the_floor_still_holds() {
    let script = "cd /proc/sys/user && for limit in max_*_namespaces; do echo 0 > $limit; done && \
                  cd / && exec \"$0\" \"$@\"";
    let args = ["--user", "--map-root-user", "--", "/bin/sh", "-c", script];
    let mut args: Vec<String> = args.map(str::to_owned).to_vec();
    args.push(env!("CARGO_BIN_EXE_jailed-worker").to_owned());
    args.push("worker".to_owned());
    let program = PathBuf::from("/usr/bin/unshare");
    let possible = Command::new(&program).args(["--user", "--", "/bin/true"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        return;
    }
    let sandbox = Sandbox::start(narrows_sandbox::Config { program, args, ..config("worker") });
    let sandbox = sandbox.await.unwrap();
    let layers = sandbox.probe().await.unwrap();
    for state in &layers {
        let namespace = state.layer.name().ends_with("_namespace");
        assert!(!(namespace && state.reached), "{state:?}");
        assert!(state.reached || !Layer::FLOOR.contains(&state.layer), "{state:?}");
    }
    let ran = run(&sandbox, crate::house::program(Language::Python, "1 + 1", Limits::default()));
    assert!(matches!(ran.await.end.unwrap().end, End::Value(value) if value.get() == "2"));
    let spin = Limits { cpu_ms: 200, ..Limits::default() };
    let ran = run(&sandbox, crate::house::program(Language::Python, "while True: pass", spin));
    assert!(!matches!(ran.await.end, Err(narrows_sandbox::LeaseEnd::Lost(..))));
    crate::evaluators::is_confined(&sandbox).await;
    sandbox.shutdown().await;
}

/// Run by the next test in a process of its own: holds a worker that spins, until it is killed.
#[tokio::test]
async fn holder() {
    if std::env::var_os("HOLD_A_WORKER").is_none() {
        return;
    }
    let sandbox = sandbox().await;
    let language = Language::Python;
    let mut lease = sandbox.lease(language, Instant::now() + LONG).await.unwrap();
    let limits = Limits { cpu_ms: 20_000, ..Limits::default() };
    let spin = program(language, "while True:\n    pass", limits);
    lease.send(&ToWorker::Run(Box::new(spin))).await.unwrap();
    lease.receive().await.unwrap();
    lease.send(&ToWorker::Go(narrows_types::frame::Go::default())).await.unwrap();
    tokio::time::sleep(LONG).await;
}

#[tokio::test]
async fn nobody_is_orphaned_when_narrows_is_killed() {
    let this = std::env::current_exe().unwrap();
    let mut narrows = Command::new(this)
        .args(["--exact", "walls::holder", "--nocapture"])
        .env("HOLD_A_WORKER", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + LONG;
    let busy = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let (_, rest) = stat.rsplit_once(") ").unwrap_or_default();
        rest.split(' ').nth(11).and_then(|ticks| ticks.parse::<u64>().ok()) > Some(10)
    };
    let all = loop {
        assert!(Instant::now() < end, "the worker does not start");
        tokio::time::sleep(Duration::from_millis(10)).await;
        let all = descendants(narrows.id());
        // Keeper, zygote, and a worker that has spun for a tenth of a second.
        if all.len() >= 2 && all.last().is_some_and(busy) {
            break all;
        }
    };
    narrows.kill().unwrap();
    narrows.wait().unwrap();
    while all.iter().any(|pid| alive(*pid)) {
        assert!(Instant::now() < end, "orphans: {all:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
