//! Real machines of QEMU, with the kernel of `cargo xtask microvm` and the static worker.
#![expect(clippy::disallowed_methods, reason = "tests ask where the parts are and start programs")]

use super::walls::Wanted;
use super::*;
use narrows_types::Layer;
use narrows_types::control::Death;
use nix::unistd::{getegid, geteuid};
use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;
use tokio::io::AsyncReadExt;

fn config() -> MicrovmConfig {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let parts = std::env::var("NARROWS_PARTS").map_or(repository.join(".cache"), PathBuf::from);
    let worker = std::env::var("NARROWS_STATIC_WORKER");
    let worker = worker.expect("run the tests by `cargo xtask test`, which builds the worker");
    MicrovmConfig { boot_ms: 120_000, ..MicrovmConfig::qemu(parts.join("microvm"), worker.into()) }
}

fn qemu(config: MicrovmConfig) -> Qemu {
    Qemu::new(config, Arc::new(Cgroup::new(crate::CgroupConfig::off())))
}

/// Memory of guests that this process holds.
fn held() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().contains("memfd:guest")).count()
}

/// The fields of `/proc/PID/status` of QEMUs whose keepers we have started.
fn hypervisors() -> Vec<BTreeMap<String, String>> {
    let status = |pid: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Some(pairs.map(|(name, said)| (name.to_owned(), said.trim().to_owned())).collect())
    };
    let parent = |of: &BTreeMap<String, String>| status(&of["PPid"]);
    let own = std::process::id().to_string();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let found: BTreeMap<_, _> = status(entry.ok()?.file_name().to_str()?)?;
        let qemu = found["Name"].starts_with("qemu") && parent(&found)?["PPid"] == own;
        qemu.then_some(found)
    });
    all.collect()
}

/// What the kernel says of them.
fn confined(machines: &[BTreeMap<String, String>]) {
    assert!(!machines.is_empty());
    for machine in machines {
        for (name, wanted) in [
            ("NoNewPrivs", "1"),
            ("CapEff", "0000000000000000"),
            ("CapPrm", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
        ] {
            assert_eq!(machine[name], wanted, "{name}: {machine:?}");
        }
        // Its number in a namespace of its own.
        assert!(machine["NSpid"].ends_with("\t1"), "{machine:?}");
        let pid = &machine["Pid"];
        for space in ["mnt", "net", "pid", "ipc", "uts", "user"] {
            let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{space}")).unwrap();
            assert_ne!(of(pid), of("self"), "{space}");
        }
    }
}

/// What whoever breaks out of a machine might try. Each line tells what was open.
const TRIES: &str = "try() { name=$1; shift; if out=$(\"$@\" 2>&1); then echo \"open $name\"; fi; }
    try files cat /etc/passwd
    try folders ls /
    try scratch touch /tmp/narrows-$$
    try processes test -d /proc/$0
    try signals kill -0 $0
    try namespaces unshare --user true
    try trace python3 -c 'import ctypes; exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0))'
    try network python3 -c 'import socket; socket.socket(socket.AF_INET)'
    echo tried; rm -f /tmp/narrows-$$";

/// Tries all that by a shell in the place of a hypervisor. With `uid` as that user.
fn tried(uid: Option<u32>, walls: bool) -> String {
    let config = config();
    let args = ["-c", TRIES, &std::process::id().to_string()].map(OsString::from).to_vec();
    let cgroup = Arc::new(Cgroup::new(crate::CgroupConfig::off()));
    let wanted = Wanted { args, fds: Vec::new(), folder: None, file_bytes: 0, cgroup };
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    let what = config.walled(shell, Some(config.user()), wanted);
    let mut words: Vec<OsString> = Vec::new();
    if let Some(uid) = uid {
        words = ["setpriv", "--clear-groups", "--reuid"].map(OsString::from).to_vec();
        words.extend([uid.to_string().into(), "--regid".into(), uid.to_string().into()]);
    }
    if walls {
        words.extend([what.launcher.into(), "hypervisor".into()]);
        words.extend(what.orders);
        words.push("--".into());
    }
    words.push(what.program.into());
    words.extend(what.args);
    let ran = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(said.ends_with("tried\n"), "{said} {}", String::from_utf8_lossy(&ran.stderr));
    said
}

#[test]
fn whoever_breaks_out_of_a_machine_finds_nothing() {
    // Somebody who has nothing on this machine.
    for uid in [None, Some(77_777)] {
        let without = tried(uid, false);
        assert!(without.lines().count() > 5, "{without}");
        let said = tried(uid, true);
        let (walls, open) = said.split_once("narrows-starts\n").unwrap();
        assert_eq!(open, "tried\n", "{walls}");
        for layer in Layer::ALL {
            let line = format!("narrows-wall {layer} \n");
            // Not every kernel has the one, and the other is not the launcher's to raise.
            let may_lack = matches!(layer, Layer::Landlock | Layer::Cgroup);
            assert!(walls.contains(&line) || may_lack, "{walls}");
        }
    }
}

/// As whoever runs this, so that a device of the machine's that can be opened is tried: it may
/// boot no guest all the same.
#[tokio::test]
async fn machines_are_restored_apart_from_each_other_and_leave_nothing() {
    let own = Some((geteuid().as_raw(), getegid().as_raw()));
    let machines = Microvm::new(qemu(MicrovmConfig { user: own, ..config() }));
    let begun = Instant::now();
    let layers = machines.prepare(Engine::Quickjs).await.unwrap();
    println!("boot, save and restore: {:?}", begun.elapsed());
    assert!(layers.iter().any(|state| state.reached), "{layers:?}");
    assert_eq!(held(), 1);
    let begun = Instant::now();
    let (one, other) =
        tokio::join!(machines.launch(Engine::Quickjs), machines.launch(Engine::Quickjs));
    println!("two restored: {:?}", begun.elapsed());
    let ((mut one, _), (mut other, _)) = (one.unwrap(), other.unwrap());
    one.worker.end();
    assert_eq!(one.ended.await.unwrap().how, Death::Signal(libc::SIGKILL));
    assert_eq!(one.read.read(&mut [0]).await.unwrap(), 0);
    assert!(other.ended.try_recv().is_err());
    confined(&hypervisors());
    // A worker whose host is gone ends, and its machine with it.
    drop((other.read, other.write));
    let ended = timeout(Duration::from_secs(30), other.ended).await;
    assert!(matches!(ended.unwrap().unwrap().how, Death::Exit(_)));
    machines.close().await;
    assert_eq!(held(), 0);
}

#[tokio::test]
async fn engines_that_are_programs_are_no_guests() {
    let machines = Microvm::new(qemu(config()));
    let why = machines.prepare(Engine::Cpython).await.unwrap_err();
    assert!(why.contains("use an embedded engine"), "{why}");
}
