//! A worker that is kept for a session: what its programs try with it, on each other and on the
//! host.

use crate::house::{LONG, Ran, config, program, run_in, sandbox};
use crate::lifecycle::until;
use narrows_sandbox::{
    Config, Earlier, Holder, Lease, LeaseEnd, Loss, Sandbox, SandboxError, Want,
};
use narrows_types::frame::{End, Program};
use narrows_types::{BackendKind, Engine, Language, Limit, Limits};
use std::time::{Duration, Instant};

fn holder(principal: &str) -> Holder {
    Holder { principal: principal.to_owned(), session: "ses_1".to_owned() }
}

async fn lease(sandbox: &Sandbox, of: &str) -> Lease {
    let deadline = Instant::now() + LONG;
    sandbox.lease_kept(Language::TypeScript, holder(of), deadline).await.unwrap()
}

fn keeping(code: &str, limits: Limits) -> Program {
    Program { state: true, ..program(Language::TypeScript, code, limits) }
}

/// One program of `ann`'s session, whose worker then waits if the program ended well.
async fn told(sandbox: &Sandbox, code: &str, limits: Limits) -> Ran {
    let mut lease = lease(sandbox, "ann").await;
    let ran = run_in(&mut lease, keeping(code, limits)).await;
    if ran.end.is_ok() {
        lease.rest(None);
    }
    ran
}

async fn value(sandbox: &Sandbox, code: &str) -> String {
    let ran = told(sandbox, code, Limits::default()).await;
    match ran.end.unwrap().end {
        End::Value(value) => value.get().to_owned(),
        other => panic!("{code}: {other:?}"),
    }
}

/// Why nothing is left of the session's earlier programs.
async fn gone(sandbox: &Sandbox) -> String {
    match lease(sandbox, "ann").await.earlier() {
        Earlier::Gone(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_worker_is_one_sessions_own() {
    let sandbox = sandbox("worker").await;
    assert_eq!(value(&sandbox, "var mine = 1; mine").await, "1");
    assert_eq!(value(&sandbox, "mine += 1").await, "2");
    let mut other = lease(&sandbox, "bob").await;
    assert_eq!(other.earlier(), Earlier::Never);
    let ran = run_in(&mut other, keeping("return typeof globalThis.mine", Limits::default())).await;
    assert!(matches!(ran.end.unwrap().end, End::Value(value) if value.get() == "\"undefined\""));
    other.rest(None);
    let ran = crate::house::run(
        &sandbox,
        program(Language::TypeScript, "return typeof globalThis.mine", Limits::default()),
    )
    .await;
    assert!(matches!(ran.end.unwrap().end, End::Value(value) if value.get() == "\"undefined\""));
    assert_eq!(value(&sandbox, "mine").await, "2");
    // It is nobody's any more.
    sandbox.forget(&holder("ann"));
    assert_eq!(lease(&sandbox, "ann").await.earlier(), Earlier::Never);
    sandbox.shutdown().await;
    assert_eq!(sandbox.running(), 0);
}

/// What a program leaves behind runs with nothing: it has no calls, hears no replies of a later
/// program, and takes nothing of its limits.
#[tokio::test]
async fn leftovers_reach_nothing_of_the_next_program() {
    let sandbox = sandbox("worker").await;
    for left in [
        "host.hang({ a: 1 }).then(x => host.echo({ stolen: x })); setInterval(() => host.echo({ t: 1 }), 1); throw 1",
        "for (let i = 0; i < 50; i++) host.hang({ i }).then(x => { globalThis.stolen = x; host.echo({ x }) }); return Promise.race([1])",
        "Promise.prototype.then = new Proxy(Promise.prototype.then, { apply(f, t, a) { return Reflect.apply(f, t, a) } }); 1",
        "Object.defineProperty(Object.prototype, 1, { set(v) { globalThis.stolen = v }, get() { return { resolve(x) { globalThis.stolen = x } } }, configurable: true }); 1",
        "(async () => { for (let i = 0; i < 2000; i++) await null; host.echo({ late: 1 }); console.log('late') })(); throw 1",
    ] {
        told(&sandbox, left, Limits::default()).await.end.unwrap();
        let ran = told(
            &sandbox,
            "return (await host.echo({ secret: 7 })).secret",
            Limits { calls: 1, ..Limits::default() },
        )
        .await;
        assert_eq!(ran.said, ["host.echo {\"secret\":7}"], "{left}");
        assert!(matches!(ran.end.unwrap().end, End::Value(value) if value.get() == "7"), "{left}");
        let stolen = value(&sandbox, "return typeof globalThis.stolen").await;
        assert_eq!(stolen, "\"undefined\"", "{left}");
        sandbox.forget(&holder("ann"));
    }
    sandbox.shutdown().await;
}

/// Limits are those of one program, and its memory that of all.
#[tokio::test]
async fn every_program_has_the_limits_of_its_own_run() {
    let sandbox = sandbox("worker").await;
    let limits = Limits { cpu_ms: 500, wall_ms: 20_000, calls: 2, ..Limits::default() };
    let busy = |rounds: u64| {
        format!(
            "let n = 0; for (let i = 0; i < {rounds}; i++) n += i; await host.echo({{}}); \
             await host.echo({{}}); 1"
        )
    };
    // How much work half a second of this processor is.
    let rounds = 100_000;
    let measured = told(&sandbox, &busy(rounds), limits.clone()).await.end.unwrap();
    let rounds = rounds * 300_000 / measured.usage.cpu_us.max(1);
    let mut spent_us = measured.usage.cpu_us;
    for _ in 0..4 {
        let done = told(&sandbox, &busy(rounds), limits.clone()).await.end.unwrap();
        assert!(matches!(done.end, End::Value(_)), "{done:?}");
        spent_us += done.usage.cpu_us;
    }
    assert!(spent_us > 600_000, "more than one run may use: {spent_us}");
    let ran = told(&sandbox, "for (;;);", limits.clone()).await;
    assert!(matches!(ran.end.unwrap().end, End::Limit(Limit::CpuMs)));
    sandbox.shutdown().await;
}

/// An engine that was broken into has the walls of the first program around it, and what it says
/// while it has no program ends it.
#[tokio::test]
async fn a_worker_that_was_broken_into_stays_behind_its_walls() {
    let sandbox = Sandbox::start(Config { warm: 0, ..config("broken-in") }).await.unwrap();
    let limits =
        Limits { cpu_ms: 200, wall_ms: 20_000, memory_bytes: 32 << 20, ..Limits::default() };
    told(&sandbox, "answer 7", limits.clone()).await.end.unwrap();
    let ran = told(&sandbox, "call execve", limits.clone()).await;
    assert!(matches!(ran.end.unwrap_err(), LeaseEnd::Lost(Loss::Syscall, _)));
    for (code, limit) in [("spin", Limit::CpuMs), ("eat", Limit::MemoryBytes)] {
        told(&sandbox, "answer 7", limits.clone()).await.end.unwrap();
        let ran = told(&sandbox, code, limits.clone()).await;
        let LeaseEnd::Limit(reached, allowed) = ran.end.unwrap_err() else { panic!("{code}") };
        assert_eq!((reached, allowed), (limit, limits.allowed(limit)), "{code}");
    }
    // A log line, and the first frame of a run that it does not have.
    for late in ["0300000043007d", "1c00000041"] {
        told(&sandbox, &format!("late {late}"), limits.clone()).await.end.unwrap();
        until("it is ended", || sandbox.health().iter().all(|h| h.living == 0)).await;
        let why = gone(&sandbox).await;
        assert!(why.contains("spoke while it had no program"), "{why}");
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn who_waits_too_long_or_is_in_the_way_ends_with_a_reason() {
    let idle = Config { sessions_idle_ms: 50, sessions_max: 1, warm: 0, ..config("worker") };
    let sandbox = Sandbox::start(Config { concurrent_max: 1, ..idle.clone() }).await.unwrap();
    value(&sandbox, "var n = 1; n").await;
    until("it is ended", || sandbox.health().iter().all(|h| h.living == 0)).await;
    let why = gone(&sandbox).await;
    assert!(why.starts_with("idle for"), "{why}");
    sandbox.shutdown().await;
    let sandbox = Sandbox::start(Config { concurrent_max: 1, sessions_idle_ms: 60_000, ..idle })
        .await
        .unwrap();
    value(&sandbox, "var n = 1; n").await;
    // The one place goes to whoever runs.
    crate::house::run(&sandbox, program(Language::TypeScript, "1", Limits::default()))
        .await
        .end
        .unwrap();
    let why = gone(&sandbox).await;
    assert!(why.contains("place was needed"), "{why}");
    // A program that is cut off takes them along.
    let held = lease(&sandbox, "ann").await;
    let waits = sandbox.lease_kept(
        Language::TypeScript,
        holder("ann"),
        Instant::now() + Duration::from_millis(100),
    );
    assert!(waits.await.unwrap_err().to_string().contains("another program of this session"));
    drop(held);
    assert!(gone(&sandbox).await.contains("cancelled"));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn every_back_end_that_needs_nothing_keeps_workers() {
    let sandbox = sandbox("worker").await;
    for (backend, engine) in [
        (BackendKind::Process, Engine::Wasm),
        (BackendKind::Process, Engine::Monty),
        (BackendKind::Wasm, Engine::Wasm),
        (BackendKind::Basic, Engine::Quickjs),
        (BackendKind::Basic, Engine::Monty),
    ] {
        let language = engine.language();
        let want = Want { language, backend: Some(backend), engine: Some(engine), network: false };
        let first = if language == Language::Python { "n = [1]\nn" } else { "const n = [1]; n" };
        for (code, expected) in [(first, "[1]"), ("n", "[1]")] {
            let lease = sandbox.lease_kept(want, holder("ann"), Instant::now() + LONG).await;
            let mut lease = lease.unwrap();
            let next = Program { state: true, ..program(language, code, Limits::default()) };
            let ran = run_in(&mut lease, next).await;
            lease.rest(None);
            let End::Value(value) = ran.end.unwrap().end else { panic!("{want:?} {code}") };
            assert_eq!(value.get(), expected, "{want:?} {code}");
        }
    }
    for engine in [Engine::Cpython, Engine::Deno] {
        let want = Want {
            language: engine.language(),
            backend: None,
            engine: Some(engine),
            network: false,
        };
        let refused = sandbox.lease_kept(want, holder("ann"), Instant::now() + LONG).await;
        assert_eq!(refused.unwrap_err(), SandboxError::Unkept(engine));
    }
    sandbox.shutdown().await;
}
