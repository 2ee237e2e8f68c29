//! Somebody broke out of an engine: what the jail still holds.

use crate::house::{LONG, Ran, health, program, run};
use crate::ledger;
use crate::places::{self, Inside, Maker, Place};
use narrows_sandbox::{LeaseEnd, Loss, Sandbox};
use narrows_types::frame::End;
use narrows_types::{BackendKind, Language, Limit, Limits};

/// Of so many calls one is made where each costs a machine or a kernel of its own.
const SOME: usize = 6;

/// A sandbox whose workers are broken into.
struct Broken {
    place: Place,
    sandbox: Sandbox,
}

impl Broken {
    async fn open(place: Option<Place>) -> Option<Self> {
        let place = place?;
        Some(Self { sandbox: place.open().await, place })
    }

    async fn attack(&self, code: &str, limits: Limits) -> Ran {
        let ran = run(&self.sandbox, program(Language::TypeScript, code, limits)).await;
        let kind = if code.starts_with("call ") { "call" } else { "frames" };
        ledger::ran(self.place.name, kind, code);
        ran
    }
}

async fn here() -> Option<Broken> {
    Broken::open(places::here(BackendKind::Process, Inside::BrokenIn)).await
}

fn lost(ran: &Ran, how: Loss) -> &str {
    match &ran.end {
        Err(LeaseEnd::Lost(loss, why)) if *loss == how => why,
        other => panic!("not lost by {how:?}: {other:?}"),
    }
}

async fn ends(broken: &Broken, code: &str, limits: Limits, expected: LeaseEnd) {
    let ran = broken.attack(code, limits).await;
    assert_eq!(ran.end.unwrap_err(), expected, "{code}");
    assert!(ran.took < LONG, "{code} took {:?}", ran.took);
}

/// Each forbidden call, or one of so many, is the worker's end.
async fn calls_kill(broken: &Broken, one_of: usize) {
    for name in FORBIDDEN.iter().step_by(one_of) {
        let ran = broken.attack(&format!("call {name}"), Limits::default()).await;
        assert_eq!(lost(&ran, Loss::Syscall), "the worker made a forbidden system call", "{name}");
    }
}

/// What has no time, and what takes it.
async fn time_is_limited(broken: &Broken) {
    let limits = Limits { cpu_ms: 200, wall_ms: 20_000, ..Limits::default() };
    ends(broken, "spin", limits.clone(), LeaseEnd::Limit(Limit::CpuMs, 200)).await;
    let limits = Limits { wall_ms: 200, ..limits };
    for code in ["silent", "drip", "bytes 00", "bytes 0a00000041"] {
        ends(broken, code, limits.clone(), LeaseEnd::Limit(Limit::WallMs, 200)).await;
    }
}

async fn memory_is_limited(broken: &Broken) {
    let limits = Limits { memory_bytes: 32 << 20, ..Limits::default() };
    ends(broken, "eat", limits, LeaseEnd::Limit(Limit::MemoryBytes, 32 << 20)).await;
}

async fn deaths_have_reasons(broken: &Broken) {
    for (code, why) in [
        ("exit", "without an answer"),
        ("close", "closed its socket"),
        ("overflow", "crashed (signal 11)"),
    ] {
        let ran = broken.attack(code, Limits::default()).await;
        assert!(lost(&ran, Loss::Died).contains(why), "{code}: {ran:?}");
    }
}

/// A lie ends the lease, and so does whatever else is forged.
async fn lies_end(broken: &Broken, seeds: u64) {
    let uses = "19000000417b227265666572656e636573223a5b5d2c2266696e64696e6773223a5b5d7d";
    let uses = fix_length(uses);
    for (name, hex, why) in [
        ("an empty frame", "00000000".to_owned(), "an empty frame"),
        ("4 GiB", "ffffffff46".to_owned(), "4294967295 bytes"),
        ("a host's frame", "020000000100".to_owned(), "unknown kind 1"),
        ("garbage", "03000000416e6f".to_owned(), "bad frame"),
        ("no utf-8", "0300000046ff00".to_owned(), "bad frame"),
        ("uses twice", format!("{uses}{uses}"), "a uses frame out of turn"),
        ("a second hello", "03000000485b5d".to_owned(), "a hello frame out of turn"),
        ("a log before uses", "03000000437b7d".to_owned(), "bad frame"),
    ] {
        let ran = broken.attack(&format!("bytes {hex}"), Limits::default()).await;
        let reason = lost(&ran, Loss::Protocol);
        assert!(reason.starts_with("the worker broke the protocol: "), "{name}: {reason}");
        assert!(reason.contains(why), "{name}: {reason}");
    }
    let limits = Limits { cpu_ms: 2_000, wall_ms: 4_000, ..Limits::default() };
    for seed in 0..seeds {
        let ran = broken.attack(&format!("forge {seed}"), limits.clone()).await;
        assert!(ran.took < LONG, "forge {seed} took {:?}", ran.took);
    }
    let ran = broken.attack("answer 7", Limits::default()).await;
    assert!(matches!(ran.end.unwrap().end, End::Value(value) if value.get() == "7"));
}

#[tokio::test]
async fn every_forbidden_call_kills_the_worker() {
    let Some(broken) = here().await else { return };
    calls_kill(&broken, 1).await;
    // The one zygote has survived all of it.
    let health = health(&broken.sandbox, Language::TypeScript);
    assert_eq!((health.started, health.ready), (1, true), "{health:?}");
    broken.sandbox.shutdown().await;
}

#[tokio::test]
async fn what_is_allowed_is_of_no_use() {
    let Some(broken) = here().await else { return };
    for (name, expected) in [("clock_gettime", "0"), ("cpu-again", "-1"), ("read-other", "-1")] {
        let ran = broken.attack(&format!("call {name}"), Limits::default()).await;
        match ran.end.unwrap().end {
            End::Value(value) => assert_eq!(value.get(), expected, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    broken.sandbox.shutdown().await;
}

/// What is tried of a sandbox whose workers are broken into.
struct Siege {
    /// Each forbidden call, or one of so many. `None`: none, for it would succeed.
    calls: Option<usize>,
    /// Time and memory are used up.
    greed: bool,
    /// It dies in other ways.
    deaths: bool,
    /// So many forged frames.
    seeds: u64,
}

impl Siege {
    /// Everything.
    const ALL: Self = Self { calls: Some(1), greed: true, deaths: true, seeds: 20 };

    async fn lay(self, place: Option<Place>) {
        let Some(broken) = Broken::open(place).await else { return };
        if let Some(one_of) = self.calls {
            calls_kill(&broken, one_of).await;
        }
        if self.greed {
            time_is_limited(&broken).await;
            memory_is_limited(&broken).await;
        }
        if self.deaths {
            deaths_have_reasons(&broken).await;
        }
        lies_end(&broken, self.seeds).await;
        broken.sandbox.shutdown().await;
    }
}

#[tokio::test]
async fn processes_hold_from_outside() {
    let place = places::here(BackendKind::Process, Inside::BrokenIn);
    Siege { calls: None, seeds: 60, ..Siege::ALL }.lay(place).await;
}

#[tokio::test]
async fn processes_of_an_ordinary_user_hold_too() {
    Siege::ALL.lay(places::nobody(Inside::BrokenIn)).await;
}

/// The same walls are around a WebAssembly machine, for whoever gets out of it.
#[tokio::test]
async fn processes_around_webassembly_hold_too() {
    Siege::ALL.lay(places::here(BackendKind::Wasm, Inside::BrokenIn)).await;
}

/// There are no walls: only what the gateway itself does about frames and time is left.
#[tokio::test]
async fn without_walls_only_frames_and_limits_hold() {
    let place = places::here(BackendKind::Basic, Inside::BrokenIn);
    Siege { calls: None, deaths: false, ..Siege::ALL }.lay(place).await;
}

#[tokio::test]
async fn containers_hold_too() {
    let place = places::containers(Maker::Docker, Inside::BrokenIn);
    Siege { deaths: false, seeds: 10, ..Siege::ALL }.lay(place).await;
}

#[tokio::test]
async fn containers_of_podman_hold_too() {
    let place = places::containers(Maker::Podman, Inside::BrokenIn);
    Siege { calls: Some(SOME), deaths: false, seeds: 2, ..Siege::ALL }.lay(place).await;
}

/// A kernel in front of the kernel. Nothing eats memory here: without control groups it would eat
/// the machine's.
#[tokio::test]
async fn gvisor_holds_too() {
    let place = places::containers(Maker::Gvisor, Inside::BrokenIn);
    Siege { calls: Some(SOME), greed: false, deaths: false, seeds: 2 }.lay(place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_hold_too() {
    let place = places::machines(Inside::BrokenIn);
    Siege { calls: Some(SOME), deaths: false, seeds: 5, ..Siege::ALL }.lay(place).await;
}

#[tokio::test]
async fn a_flood_of_frames_costs_the_host_nothing() {
    let Some(broken) = here().await else { return };
    let log = fix_length(&format!("0000000043{}", hex(br#"{"level":"info","text":"x"}"#)));
    let uses =
        fix_length("00000000417b227265666572656e636573223a5b5d2c2266696e64696e6773223a5b5d7d");
    // The flood is one piece, repeated: uses may come once only, so the second ends it.
    let piece = format!("{uses}{log}");
    let before = resident_kib();
    let ran = broken.attack(&format!("flood {piece}"), Limits::default()).await;
    assert!(lost(&ran, Loss::Protocol).contains("a uses frame out of turn"), "{ran:?}");
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "the host grew by {grown} KiB");
    broken.sandbox.shutdown().await;
}

/// Memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Sets the length of one frame that is written in hex.
fn fix_length(frame: &str) -> String {
    let (_, rest) = frame.split_at_checked(8).unwrap();
    let length = u32::try_from(rest.len() / 2).unwrap().to_le_bytes();
    format!("{}{rest}", hex(&length))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

const FORBIDDEN: &[&str] = &[
    "openat",
    "open_by_handle_at",
    "unlinkat",
    "readlinkat",
    "newfstatat",
    "socket",
    "socketpair",
    "connect",
    "bind",
    "sendmsg",
    "recvmsg",
    "sendto-address",
    "execve",
    "execveat",
    "clone",
    "clone3",
    "kill",
    "tkill",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "io_uring_setup",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "keyctl",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "chdir",
    "memfd_create",
    "setuid",
    "capset",
    "prctl",
    "seccomp",
    "ioctl",
    "dup",
    "fcntl",
    "wait4",
    "reboot",
    "init_module",
    "rt_sigaction",
    "setrlimit",
    "prlimit-files",
    "prlimit-other",
    "prlimit-read",
    "setitimer-real",
    "mmap-exec",
    "mmap-file",
    "mprotect-exec",
    "pkey_mprotect",
    "vmsplice",
    "x32",
];
