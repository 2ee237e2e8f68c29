//! What holds all workers together, should each of them have more than it was to have.

use crate::house::{LONG, config, health, program, run};
use crate::ledger;
use crate::places::{self, Inside};
use crate::walls::{alive, descendants, public_copy};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use narrows_sandbox::{CgroupConfig, CgroupPlace, Config, LeaseEnd, Loss, Sandbox, SandboxError};
use narrows_types::frame::End;
use narrows_types::{Language, Layer, Limits};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TS: Language = Language::TypeScript;
/// Its name in the table of what was tried.
const PLACE: &str = "cgroup";
const MIB: u64 = 1 << 20;
/// Set for the tests here that others start in a process of its own.
const INNER: &str = "NARROWS_TEST_TOGETHER";

fn bounded(memory_bytes: u64) -> Config {
    let cgroup = CgroupConfig { memory_bytes: Some(memory_bytes), ..auto() };
    Config { cgroup, concurrent_max: 16, ..config("worker") }
}

pub(crate) fn auto() -> CgroupConfig {
    CgroupConfig { place: CgroupPlace::Auto, ..CgroupConfig::off() }
}

/// A sandbox whose workers are in a group. `None` where there can be none.
async fn sandbox(config: Config) -> Option<Sandbox> {
    if ledger::left_out(PLACE) {
        return None;
    }
    let sandbox = Sandbox::start(config).await.unwrap();
    let layers = sandbox.probe().await.unwrap();
    let state = layers.into_iter().find(|state| state.layer == Layer::Cgroup).unwrap();
    if state.reached {
        return Some(sandbox);
    }
    ledger::missing(PLACE, &state.why);
    sandbox.shutdown().await;
    None
}

/// The groups of a process, as the kernel names them: those that are ours.
fn groups(pid: u32) -> Vec<String> {
    let all = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let ours = all.lines().filter_map(|line| line.rsplit_once('/')?.1.strip_prefix("narrows-"));
    ours.map(str::to_owned).collect()
}

/// Directories of groups with this name, anywhere.
fn there(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().contains(name) {
                    found.push(entry.path());
                }
                folders.push(entry.path());
            }
        }
    }
    found
}

async fn two(sandbox: &Sandbox) {
    let ran = run(sandbox, program(TS, "return 1 + 1", Limits::default())).await;
    assert!(matches!(ran.end.unwrap().end, End::Value(value) if value.get() == "2"));
}

/// Each keeps to its own limit; together they have more than there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_fill_their_memory_at_once_are_held() {
    let Some(sandbox) = sandbox(bounded(300 * MIB)).await else { return };
    let limits = Limits { memory_bytes: 128 * MIB, wall_ms: 60_000, ..Limits::default() };
    let code = "const kept = []; for (let i = 0; i < 90; i++) kept.push(new Uint8Array(1e6).fill(1));\n\
                await host.hang({}); return kept.length";
    let mut all: FuturesUnordered<_> =
        (0..10).map(|_| run(&sandbox, program(TS, code, limits.clone()))).collect();
    // Three of them fit and wait for an answer. The others end one by one.
    for _ in 0..6 {
        let ran = all.next().await.unwrap();
        let Err(LeaseEnd::Lost(Loss::Died, why)) = &ran.end else { panic!("{ran:?}") };
        assert!(why.contains("together reached sandbox.workers_memory_bytes = 314572800"), "{why}");
    }
    drop(all);
    ledger::ran(PLACE, "program", "many that fill their memory at once");
    two(&sandbox).await;
    sandbox.shutdown().await;
}

#[tokio::test]
async fn workers_are_born_in_the_group_and_it_goes_with_them() {
    let Some(sandbox) = sandbox(bounded(1 << 30)).await else { return };
    two(&sandbox).await;
    let lease = sandbox.lease(TS, Instant::now() + LONG).await.unwrap();
    let zygote = health(&sandbox, TS).pid.unwrap();
    let ours = groups(zygote);
    assert!(!ours.is_empty(), "{zygote}");
    for worker in descendants(zygote) {
        // The one that had a program may be on its way out: it leaves its group first.
        let end = Instant::now() + LONG;
        while groups(worker) != ours && alive(worker) {
            assert!(Instant::now() < end, "{worker}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(!there(&ours[0]).is_empty());
    drop(lease);
    sandbox.shutdown().await;
    assert_eq!(there(&ours[0]), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn hypervisors_are_in_the_group() {
    let Some(place) = places::machines(Inside::Worker) else { return };
    let config = Config { cgroup: auto(), warm: 0, ..place.config };
    let Some(sandbox) = sandbox(config).await else { return };
    let lease = sandbox.lease(TS, Instant::now() + LONG).await.unwrap();
    let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let all = descendants(std::process::id());
    let machines: Vec<_> = all.iter().filter(|pid| name(pid).starts_with("qemu")).collect();
    assert!(!machines.is_empty(), "{all:?}");
    let ours = groups(*machines[0]);
    assert!(!ours.is_empty() && machines.iter().all(|pid| groups(**pid) == ours), "{ours:?}");
    drop(lease);
    sandbox.shutdown().await;
    assert_eq!(there(&ours[0]), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_group_that_is_named_is_used_or_nothing_runs() {
    let named = |path: &str| CgroupConfig { place: CgroupPlace::At(path.into()), ..auto() };
    let config = Config { cgroup: named("/no/such/group"), ..config("worker") };
    let sandbox = Sandbox::start(config).await.unwrap();
    let error = sandbox.lease(TS, Instant::now() + LONG).await.unwrap_err();
    assert!(matches!(&error, SandboxError::Layers(why) if why.contains("no group")), "{error}");
    sandbox.shutdown().await;
}

/// Run by the next test in a process of its own: a gateway with a group, until it is killed.
#[tokio::test]
async fn gateway() {
    if std::env::var_os(INNER).is_none() {
        return;
    }
    if let Some(sandbox) = sandbox(bounded(1 << 30)).await {
        two(&sandbox).await;
        let zygote = health(&sandbox, TS).pid.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "in {}", groups(zygote)[0]).unwrap();
        out.flush().unwrap();
    }
    tokio::time::sleep(LONG).await;
}

#[tokio::test]
async fn what_a_killed_gateway_leaves_is_removed_by_the_next() {
    let Some(sandbox) = sandbox(bounded(1 << 30)).await else { return };
    sandbox.shutdown().await;
    let mut killed = inner(Command::new(std::env::current_exe().unwrap()), "together::gateway")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let name = tokio::task::spawn_blocking({
        let out = std::io::BufReader::new(killed.stdout.take().unwrap());
        move || {
            let mut lines = std::io::BufRead::lines(out).map_while(Result::ok);
            lines.find_map(|line| Some(line.strip_prefix("in ")?.to_owned()))
        }
    });
    let name = name.await.unwrap().expect("it is in a group");
    assert!(!there(&name).is_empty());
    killed.kill().unwrap();
    killed.wait().unwrap();
    let end = Instant::now() + LONG;
    while !there(&name).is_empty() {
        assert!(Instant::now() < end, "{:?}", there(&name));
        let sandbox = Sandbox::start(bounded(1 << 30)).await.unwrap();
        two(&sandbox).await;
        sandbox.shutdown().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Run by the next test as somebody who may make no group.
#[tokio::test]
async fn as_somebody_without_a_group() {
    let Some(worker) = std::env::var_os(INNER) else { return };
    let base = Config { program: worker.into(), cgroup: auto(), ..config("worker") };
    let sandbox = Sandbox::start(base.clone()).await.unwrap();
    two(&sandbox).await;
    let layers = sandbox.layers();
    let state = layers.iter().find(|state| state.layer == Layer::Cgroup).unwrap();
    assert!(!state.reached && state.why.contains("no group can be made in"), "{state:?}");
    sandbox.shutdown().await;
    let strict = Config { require: vec![Layer::Cgroup], ..base };
    let sandbox = Sandbox::start(strict).await.unwrap();
    let error = sandbox.lease(TS, Instant::now() + LONG).await.unwrap_err();
    assert!(matches!(&error, SandboxError::Layers(why) if why.contains("cgroup (")), "{error}");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn nobody_works_without_a_group_unless_it_is_required() {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !nix::unistd::Uid::effective().is_root() || !setpriv.is_file() {
        return;
    }
    let (folder, worker) = public_copy(Path::new(env!("CARGO_BIN_EXE_jailed-worker")));
    let (tests, this) = public_copy(&std::env::current_exe().unwrap());
    let mut command = Command::new(setpriv);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(this);
    let ran = inner(command, "together::as_somebody_without_a_group")
        .env(INNER, &worker)
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    drop((folder, tests));
}

fn inner(mut command: Command, test: &str) -> Command {
    command.args(["--exact", test, "--nocapture"]).env(INNER, "1").stdin(Stdio::null());
    command
}
