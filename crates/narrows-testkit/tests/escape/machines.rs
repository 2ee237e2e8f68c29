//! Virtual machines: a program in each, on every hypervisor that can be had here.

use crate::house::{self, LONG};
use narrows_sandbox::{Config, LeaseEnd, MicrovmConfig, MicrovmDriver, Sandbox, SandboxError};
use narrows_types::frame::{End, ToWorker};
use narrows_types::{BackendKind, Language, Limit, Limits};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn parts() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
    std::env::var("NARROWS_PARTS").map_or(here, PathBuf::from).join("microvm")
}

/// The worker that `cargo xtask test` has built.
fn worker() -> PathBuf {
    PathBuf::from(std::env::var("NARROWS_STATIC_WORKER").unwrap())
}

pub(crate) fn qemu() -> MicrovmConfig {
    MicrovmConfig { boot_ms: 120_000, ..MicrovmConfig::qemu(parts(), worker()) }
}

/// The fake, or a real one where the environment names it.
fn firecracker(folder: &Path) -> MicrovmConfig {
    let fake = PathBuf::from(env!("CARGO_BIN_EXE_fake-firecracker"));
    let program = std::env::var("NARROWS_FIRECRACKER").map_or(fake, PathBuf::from);
    let driver = MicrovmDriver::Firecracker { jailer: None };
    MicrovmConfig { driver, program, folder: folder.to_owned(), ..qemu() }
}

async fn sandbox(machines: MicrovmConfig) -> Sandbox {
    let config = Config::new(machines.worker.clone(), Vec::new());
    let backend = Some(BackendKind::Microvm);
    Sandbox::start(Config { backend, warm: 1, microvm: Some(machines), ..config }).await.unwrap()
}

async fn value(sandbox: &Sandbox, language: Language, code: &str) -> String {
    let ran = house::run(sandbox, house::program(language, code, Limits::default())).await;
    match ran.end {
        Ok(done) => match done.end {
            End::Value(value) => value.get().to_owned(),
            other => panic!("{other:?}"),
        },
        Err(end) => panic!("{end:?}"),
    }
}

const CALLS: &str = "const all = await Promise.all([1, 2, 3].map((n) => host.echo({ n })));
    return all.map((one) => one.n * 2);";

async fn programs_run(sandbox: &Sandbox) {
    assert_eq!(value(sandbox, Language::TypeScript, CALLS).await, "[2,4,6]");
    let twice = tokio::join!(
        value(sandbox, Language::TypeScript, "globalThis.left = 1; return 1;"),
        value(sandbox, Language::TypeScript, "return typeof globalThis.left;"),
    );
    assert_eq!(twice, ("1".to_owned(), "\"undefined\"".to_owned()));
    assert_eq!(value(sandbox, Language::Python, "host.echo(n=4)['n'] + 1").await, "5");
}

async fn limits_hold(sandbox: &Sandbox) {
    let limits = Limits { wall_ms: 300, ..Limits::default() };
    let hang = house::program(Language::TypeScript, "await host.hang({}); return 1;", limits);
    let ran = house::run(sandbox, hang).await;
    match ran.end {
        Err(LeaseEnd::Limit(limit, 300)) => assert_eq!(limit, Limit::WallMs),
        Ok(done) => assert!(matches!(done.end, End::Limit(Limit::WallMs)), "{done:?}"),
        other => panic!("{other:?}"),
    }
    let limits = Limits { cpu_ms: 200, ..Limits::default() };
    let spin = house::program(Language::TypeScript, "while (true) {}", limits);
    match house::run(sandbox, spin).await.end {
        Err(LeaseEnd::Limit(limit, 200)) => assert_eq!(limit, Limit::CpuMs),
        Ok(done) => assert!(matches!(done.end, End::Limit(Limit::CpuMs)), "{done:?}"),
        other => panic!("{other:?}"),
    }
}

/// Whether a process is alive and has that name, and its parent.
fn process(pid: i32, name: &str) -> Option<(bool, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let alive = fields.next() != Some("Z");
    Some((alive && head.contains(name), fields.next()?.parse().ok()?))
}

/// The processes of that name that descend from us. Between them and us is who waits for them.
fn machines(name: &str) -> Vec<i32> {
    let ours = |pid: i32| {
        let parents = std::iter::successors(Some(pid), |pid| Some(process(*pid, name)?.1));
        parents.take(4).any(|parent| parent == i32::try_from(std::process::id()).unwrap())
    };
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (process(pid, name)?.0 && ours(pid)).then_some(pid)
    });
    processes.collect()
}

async fn a_kill_is_noticed(sandbox: &Sandbox, name: &str) {
    let mut lease = sandbox.lease(Language::TypeScript, Instant::now() + LONG).await.unwrap();
    let program =
        house::program(Language::TypeScript, "await host.hang({}); return 1;", Limits::default());
    lease.arm(&program.limits);
    lease.send(&ToWorker::Run(Box::new(program))).await.unwrap();
    lease.receive().await.unwrap();
    for pid in machines(name) {
        let killed = kill(Pid::from_raw(pid), Signal::SIGKILL);
        // One that was ending anyway may be gone by now.
        assert!(matches!(killed, Ok(()) | Err(nix::Error::ESRCH)), "{killed:?}");
    }
    match lease.receive().await {
        Err(LeaseEnd::Lost(_, why)) => assert!(why.contains("killed"), "{why}"),
        other => panic!("{other:?}"),
    }
    // The pool gets over it. Those that waited ready were killed too, and one may be handed out
    // before that is known.
    let until = Instant::now() + LONG;
    loop {
        let seven = house::program(Language::TypeScript, "return 7;", Limits::default());
        match house::run(sandbox, seven).await.end {
            Ok(done) => {
                assert!(matches!(&done.end, End::Value(value) if value.get() == "7"), "{done:?}");
                return;
            }
            Err(LeaseEnd::Lost(..)) if Instant::now() < until => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A machine that was being made when its sandbox went is ended a moment later.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "not within {LONG:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_run_in_machines_of_qemu() {
    let sandbox = sandbox(qemu()).await;
    programs_run(&sandbox).await;
    limits_hold(&sandbox).await;
    a_kill_is_noticed(&sandbox, "qemu-system").await;
    sandbox.shutdown().await;
    until("no machine is left", || machines("qemu-system").is_empty()).await;
}

/// A machine with less memory than its run may use, which is refused where it is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_memory_is_at_its_runs_limit() {
    let sandbox = sandbox(MicrovmConfig { memory_mib: 160, run_bytes: 0, ..qemu() }).await;
    let limits = Limits { memory_bytes: 512 << 20, wall_ms: 60_000, ..Limits::default() };
    let bomb = "const all = []; for (;;) all.push(new Array(100_000).fill(all.length));";
    let ran = house::run(&sandbox, house::program(Language::TypeScript, bomb, limits)).await;
    match ran.end {
        Err(LeaseEnd::Limit(limit, bytes)) => {
            assert_eq!((limit, bytes), (Limit::MemoryBytes, 512 << 20));
        }
        other => panic!("{other:?}"),
    }
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_run_in_machines_of_firecracker() {
    let folder = tempfile::tempdir().unwrap();
    let config = firecracker(folder.path());
    let name = config.program.file_name().unwrap().to_str().unwrap().to_owned();
    let short: String = name.chars().take(15).collect();
    let sandbox = sandbox(config).await;
    programs_run(&sandbox).await;
    limits_hold(&sandbox).await;
    a_kill_is_noticed(&sandbox, &short).await;
    sandbox.shutdown().await;
    until("no machine is left", || machines(&short).is_empty()).await;
    let empty = || std::fs::read_dir(folder.path()).unwrap().next().is_none();
    until("no folder is left", empty).await;
}

/// Does of what Firecracker's jailer does what matters here: the user changes, and with that the
/// promise to die with the parent is gone.
const JAILER: &str = "#!/bin/sh
# --id ID --exec-file FILE --uid UID --gid GID --chroot-base-dir BASE --resource-limit LIMIT -- ...
file=$4 name=${4##*/} user=$6 group=$8
cd \"${10}/$name/$2/root\" && shift 13 && cp \"$file\" . &&
exec setpriv --reuid \"$user\" --regid \"$group\" --clear-groups \"./$name\" --id narrows \"$@\"
";

#[tokio::test(flavor = "multi_thread")]
async fn a_jailed_machine_does_not_outlive_who_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let jailer = folder.path().join("jailer");
    std::fs::write(&jailer, JAILER).unwrap();
    std::fs::set_permissions(&jailer, std::fs::Permissions::from_mode(0o755)).unwrap();
    let driver = MicrovmDriver::Firecracker { jailer: Some(jailer) };
    let config = MicrovmConfig { driver, ..firecracker(folder.path()) };
    let short: String =
        config.program.file_name().unwrap().to_str().unwrap().chars().take(15).collect();
    let sandbox = sandbox(config).await;
    assert_eq!(value(&sandbox, Language::TypeScript, CALLS).await, "[2,4,6]");
    let _lease = sandbox.lease(Language::TypeScript, Instant::now() + LONG).await.unwrap();
    let all = machines(&short);
    assert!(!all.is_empty());
    // What the kernel does to them when we are killed.
    for pid in &all {
        let keeper = process(process(*pid, "").unwrap().1, "").unwrap().1;
        kill(Pid::from_raw(keeper), Signal::SIGKILL).unwrap();
    }
    until("no machine is left", || all.iter().all(|pid| process(*pid, "").is_none())).await;
    sandbox.shutdown().await;
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_to_do() {
    let nowhere = || PathBuf::from("/nowhere/it");
    for (config, text) in [
        (MicrovmConfig { program: nowhere(), ..qemu() }, "install qemu-system-x86"),
        (MicrovmConfig { image: nowhere(), ..qemu() }, "cargo xtask microvm /nowhere/it"),
        (MicrovmConfig { memory_mib: 64, ..qemu() }, "raise `sandbox.microvm.memory_mib`"),
        (MicrovmConfig { run_bytes: 512 << 20, ..qemu() }, "whose run may use 512 MiB"),
        (MicrovmConfig { program: "/bin/false".into(), ..qemu() }, "the machine ended"),
    ] {
        let sandbox = sandbox(config).await;
        let error = sandbox.probe().await.unwrap_err();
        assert!(matches!(error, SandboxError::Backend { .. }), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
        sandbox.shutdown().await;
    }
}
