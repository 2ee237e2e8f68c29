//! Somebody broke out of an engine: what the jail still holds.

use crate::house::{Ran, health, program, run, sandbox};
use narrows_sandbox::{LeaseEnd, Loss, Sandbox};
use narrows_types::frame::End;
use narrows_types::{Language, Limit, Limits};
use std::time::Duration;

async fn attack(sandbox: &Sandbox, code: &str, limits: Limits) -> Ran {
    run(sandbox, program(Language::TypeScript, code, limits)).await
}

fn lost(ran: &Ran, how: Loss) -> &str {
    match &ran.end {
        Err(LeaseEnd::Lost(loss, why)) if *loss == how => why,
        other => panic!("not lost by {how:?}: {other:?}"),
    }
}

#[tokio::test]
async fn every_forbidden_call_kills_the_worker() {
    let sandbox = sandbox("broken-in").await;
    for name in FORBIDDEN {
        let ran = attack(&sandbox, &format!("call {name}"), Limits::default()).await;
        let why = lost(&ran, Loss::Syscall);
        assert_eq!(why, "the worker made a forbidden system call", "{name}");
    }
    // The one zygote has survived all of it.
    let health = health(&sandbox, Language::TypeScript);
    assert_eq!((health.started, health.ready), (1, true), "{health:?}");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn what_is_allowed_is_of_no_use() {
    let sandbox = sandbox("broken-in").await;
    for (name, expected) in [("clock_gettime", "0"), ("cpu-again", "-1"), ("read-other", "-1")] {
        let ran = attack(&sandbox, &format!("call {name}"), Limits::default()).await;
        match ran.end.unwrap().end {
            End::Value(value) => assert_eq!(value.get(), expected, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn every_limit_holds_from_outside() {
    let sandbox = sandbox("broken-in").await;
    let limits =
        Limits { cpu_ms: 200, wall_ms: 20_000, memory_bytes: 32 << 20, ..Limits::default() };
    for (code, expected) in [
        ("spin", LeaseEnd::Limit(Limit::CpuMs, 200)),
        ("eat", LeaseEnd::Limit(Limit::MemoryBytes, 32 << 20)),
    ] {
        let ran = attack(&sandbox, code, limits).await;
        assert_eq!(ran.end.unwrap_err(), expected, "{code}");
        assert!(ran.took < Duration::from_secs(10), "{code} took {:?}", ran.took);
    }
    let limits = Limits { wall_ms: 200, ..limits };
    for code in ["silent", "bytes 00", "bytes 0a00000041"] {
        let ran = attack(&sandbox, code, limits).await;
        assert_eq!(ran.end.unwrap_err(), LeaseEnd::Limit(Limit::WallMs, 200), "{code}");
        assert!(ran.took >= Duration::from_millis(200), "{code} took {:?}", ran.took);
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn every_other_death_has_its_reason() {
    let sandbox = sandbox("broken-in").await;
    for (code, why) in [
        ("exit", "without an answer"),
        ("close", "closed its socket"),
        ("overflow", "crashed (signal 11)"),
    ] {
        let ran = attack(&sandbox, code, Limits::default()).await;
        assert!(lost(&ran, Loss::Died).contains(why), "{code}: {ran:?}");
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn every_lie_ends_the_lease() {
    let sandbox = sandbox("broken-in").await;
    let uses = "19000000417b227265666572656e636573223a5b5d2c2266696e64696e6773223a5b5d7d";
    let uses = fix_length(uses);
    for (name, hex, why) in [
        ("an empty frame", "00000000".to_owned(), "an empty frame"),
        ("4 GiB", "ffffffff46".to_owned(), "4294967295 bytes"),
        ("a host's frame", "020000000100".to_owned(), "unknown kind 1"),
        ("garbage", "03000000416e6f".to_owned(), "bad frame"),
        ("no utf-8", "0300000046ff00".to_owned(), "bad frame"),
        ("uses twice", format!("{uses}{uses}"), "a uses frame out of turn"),
        ("a log before uses", "03000000437b7d".to_owned(), "bad frame"),
    ] {
        let ran = attack(&sandbox, &format!("bytes {hex}"), Limits::default()).await;
        let reason = lost(&ran, Loss::Protocol);
        assert!(reason.starts_with("the worker broke the protocol: "), "{name}: {reason}");
        assert!(reason.contains(why), "{name}: {reason}");
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_flood_of_frames_costs_the_host_nothing() {
    let sandbox = sandbox("broken-in").await;
    let log = fix_length(&format!("0000000043{}", hex(br#"{"level":"info","text":"x"}"#)));
    let uses =
        fix_length("00000000417b227265666572656e636573223a5b5d2c2266696e64696e6773223a5b5d7d");
    // The flood is one piece, repeated: uses may come once only, so the second ends it.
    let piece = format!("{uses}{log}");
    let before = resident_kib();
    let ran = attack(&sandbox, &format!("flood {piece}"), Limits::default()).await;
    assert!(lost(&ran, Loss::Protocol).contains("a uses frame out of turn"), "{ran:?}");
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "the host grew by {grown} KiB");
    sandbox.shutdown().await;
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
