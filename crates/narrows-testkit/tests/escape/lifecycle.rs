//! Births and deaths: pools, crashes, replacement, orphans.

use crate::house::{LONG, config, health, program, run, sandbox};
use crate::walls::{alive, descendants};
use narrows_sandbox::{Config, LeaseEnd, Sandbox, SandboxError};
use narrows_types::frame::{End, ToWorker};
use narrows_types::{Language, Layer, Limits};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PY: Language = Language::Python;

async fn two(sandbox: &Sandbox) -> String {
    let ran = run(sandbox, program(PY, "1 + 1", Limits::default())).await;
    match ran.end.unwrap().end {
        End::Value(value) => value.get().to_owned(),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_crashed_zygote_is_replaced() {
    let sandbox = sandbox("worker").await;
    assert_eq!(two(&sandbox).await, "2");
    let health = health(&sandbox, PY);
    let pid = nix::unistd::Pid::from_raw(health.pid.unwrap().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    until("the death is noticed", || sandbox.health().iter().any(|h| h.started > 1)).await;
    assert_eq!(two(&sandbox).await, "2");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_zygote_is_replaced_after_its_forks_and_runs_go_on() {
    let sandbox = Sandbox::start(Config { forks_per_zygote: 3, ..config("worker") }).await.unwrap();
    let mut held = sandbox.lease(PY, Instant::now() + LONG).await.unwrap();
    let first = descendants(std::process::id());
    while health(&sandbox, PY).started < 4 {
        assert_eq!(two(&sandbox).await, "2");
    }
    // The first zygote lives on for its last worker.
    let (sender, receiver) = held.split();
    let run = program(PY, "1", Limits::default());
    sender.send(&ToWorker::Run(Box::new(run))).await.unwrap();
    receiver.receive().await.unwrap();
    drop(held);
    // Then it ends, and is buried by the one that started it: no zombie stays behind.
    let there = |pid: &u32| PathBuf::from(format!("/proc/{pid}")).exists();
    until("the first zygote is gone", || !first.iter().any(there)).await;
    sandbox.shutdown().await;
}

#[tokio::test]
async fn dropping_a_lease_kills_its_worker() {
    let sandbox = Sandbox::start(Config { warm: 0, ..config("broken-in") }).await.unwrap();
    let language = Language::TypeScript;
    let mut lease = sandbox.lease(language, Instant::now() + LONG).await.unwrap();
    let spin = program(language, "spin", Limits::default());
    lease.send(&ToWorker::Run(Box::new(spin))).await.unwrap();
    assert_eq!(sandbox.running(), 1);
    drop(lease);
    until("the worker is buried", || sandbox.running() == 0).await;
    until("the owner knows", || sandbox.health().iter().all(|h| h.living == 0)).await;
    sandbox.shutdown().await;
}

#[tokio::test]
async fn places_are_bounded_and_free_again() {
    let config = Config { concurrent_max: 1, waiting_max: 1, ..config("worker") };
    let sandbox = Sandbox::start(config).await.unwrap();
    let first = sandbox.lease(PY, Instant::now() + LONG).await.unwrap();
    let soon = Instant::now() + Duration::from_millis(50);
    let (second, third) = tokio::join!(sandbox.lease(PY, soon), sandbox.lease(PY, soon));
    assert_eq!(second.unwrap_err(), SandboxError::Timeout);
    assert_eq!(third.unwrap_err(), SandboxError::Busy { running: 1, waiting: 1 });
    drop(first);
    assert_eq!(two(&sandbox).await, "2");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    for (mode, start_ms, why) in [
        ("fails", 20_000, "on purpose"),
        ("never-ready", 50, "back end process had no worker ready within 50 ms"),
        ("no-such-mode", 20_000, "its control socket closed"),
    ] {
        let sandbox = Sandbox::start(Config { start_ms, ..config(mode) }).await.unwrap();
        let lease = sandbox.lease(PY, Instant::now() + LONG).await;
        let error = lease.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        sandbox.shutdown().await;
        assert_eq!(
            sandbox.lease(PY, Instant::now() + LONG).await.unwrap_err(),
            SandboxError::Stopped
        );
    }
    let missing = Config::new(PathBuf::from("/nowhere/narrows"), Vec::new());
    assert!(matches!(Sandbox::start(missing).await, Err(SandboxError::Start { .. })));
}

#[tokio::test]
async fn nothing_is_left_after_a_shutdown() {
    let sandbox = sandbox("worker").await;
    sandbox.warm().await.unwrap();
    let lease = sandbox.lease(PY, Instant::now() + LONG).await.unwrap();
    let pids: Vec<u32> = sandbox.health().iter().filter_map(|health| health.pid).collect();
    assert_eq!(pids.len(), 2);
    let all: Vec<u32> = pids.iter().flat_map(|pid| descendants(*pid)).chain(pids.clone()).collect();
    assert!(all.len() >= 4, "two zygotes and a worker each: {all:?}");
    sandbox.shutdown().await;
    until("all are gone", || !all.iter().any(|pid| alive(*pid))).await;
    drop(lease);
}

#[tokio::test]
async fn a_run_beside_a_hostile_one_is_untouched() {
    let sandbox = sandbox("worker").await;
    let limits = Limits { cpu_ms: 300, ..Limits::default() };
    let hostile = run(&sandbox, program(PY, "while True:\n    pass", limits));
    let good = async {
        for _ in 0..5 {
            assert_eq!(two(&sandbox).await, "2");
        }
    };
    let (hostile, ()) = tokio::join!(hostile, good);
    assert!(!matches!(hostile.end, Err(LeaseEnd::Lost(..))), "{hostile:?}");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn what_a_run_used_is_told() {
    let sandbox = sandbox("worker").await;
    for (language, code) in [
        (
            Language::TypeScript,
            "const kept = new Array(1e5).fill(1.5).map(x => x * 2); kept.length",
        ),
        (Language::Python, "kept = [x * 2.5 for x in range(100000)]\nlen(kept)"),
    ] {
        let usage =
            run(&sandbox, program(language, code, Limits::default())).await.end.unwrap().usage;
        assert!(usage.wall_us > 0 && usage.cpu_us > 0, "{language} {usage:?}");
        assert!(usage.memory_bytes > 500_000, "{language} {usage:?}");
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_missing_layer_that_is_required_refuses_everything() {
    let sandbox = sandbox("worker").await;
    let layers = sandbox.probe().await.unwrap();
    assert_eq!(layers.len(), Layer::ALL.len());
    sandbox.shutdown().await;
    let Some(missing) = layers.iter().find(|state| !state.reached) else { return };
    let strict = Config { require: vec![missing.layer], ..config("worker") };
    let sandbox = Sandbox::start(strict).await.unwrap();
    let error = sandbox.lease(PY, Instant::now() + LONG).await.unwrap_err();
    assert!(matches!(error, SandboxError::Layers(_)), "{error}");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn many_at_once_are_kept_apart() {
    let sandbox = Sandbox::start(Config { concurrent_max: 16, ..config("worker") }).await.unwrap();
    let runs = (0..60).map(|n| {
        let sandbox = &sandbox;
        async move {
            let code = format!("host.echo(n={n})['n'] * 2");
            let ran = run(sandbox, program(PY, &code, Limits::default())).await;
            match ran.end.unwrap().end {
                End::Value(value) => assert_eq!(value.get(), (n * 2).to_string()),
                other => panic!("{n}: {other:?}"),
            }
        }
    });
    futures_util::future::join_all(runs).await;
    until("all are buried", || sandbox.running() == 0).await;
    sandbox.shutdown().await;
}
