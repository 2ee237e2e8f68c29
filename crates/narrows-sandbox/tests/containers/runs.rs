//! Runs, and the limits that end them, on every daemon.

use crate::daemon::Daemon;
use crate::house::{config, program, run, sandbox, typescript, value};
use narrows_sandbox::{LeaseEnd, docker};
use narrows_types::frame::{Done, End};
use narrows_types::{Language, Layer, Limit, Limits};
use std::sync::Arc;

const CALLS: &str = "const a = await host.echo({ n: 1 });\n\
     const both = await Promise.all([host.echo({ n: 2 }), host.echo({ n: 3 })]);\n\
     return [a.n, ...both.map((b: { n: number }) => b.n)];";

fn gvisor(daemon: &Daemon) -> docker::Config {
    docker::Config { runtime: Some("runsc".to_owned()), ..config(daemon) }
}

async fn runs_and_calls(docker: docker::Config) {
    let sandbox = sandbox(docker).await;
    assert_eq!(value(&run(&sandbox, typescript(CALLS)).await), "[1,2,3]");
    for layer in [Layer::NetNamespace, Layer::MountNamespace, Layer::Capabilities] {
        assert!(sandbox.has(layer), "{layer:?}: {:?}", sandbox.layers());
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn docker_runs_programs_that_call_tools() {
    runs_and_calls(config(&Daemon::docker())).await;
}

#[tokio::test]
async fn podman_runs_programs_that_call_tools() {
    runs_and_calls(config(&Daemon::podman())).await;
}

#[tokio::test]
async fn gvisor_runs_programs_that_call_tools() {
    runs_and_calls(gvisor(&Daemon::docker())).await;
}

#[tokio::test]
async fn python_runs_in_a_container() {
    let daemon = Daemon::docker();
    let sandbox = sandbox(config(&daemon)).await;
    let code = "a = await host.echo(n=20)\na['n'] + 1";
    let ran = run(&sandbox, program(Language::Python, code, Limits::default())).await;
    assert_eq!(value(&ran), "21");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn twenty_run_at_once() {
    let daemon = Daemon::docker();
    let sandbox = Arc::new(sandbox(config(&daemon)).await);
    let runs: Vec<_> = (0..20)
        .map(|n| {
            let sandbox = Arc::clone(&sandbox);
            let code = format!("return (await host.echo({{ n: {n} }})).n;");
            tokio::spawn(async move { run(&sandbox, typescript(&code)).await })
        })
        .collect();
    for (n, ran) in runs.into_iter().enumerate() {
        assert_eq!(value(&ran.await.unwrap()), n.to_string());
    }
    sandbox.shutdown().await;
}

/// Podman would take two of them in a row for the wish to detach.
#[tokio::test]
async fn every_byte_passes() {
    for daemon in [Daemon::docker(), Daemon::podman()] {
        let sandbox = sandbox(config(&daemon)).await;
        let code =
            "return await host.echo({ text: '\u{10}\u{11}\u{3}\u{4}\u{1a}\u{ff}\u{20ac}' });";
        let text = value(&run(&sandbox, typescript(code)).await).to_owned();
        assert_eq!(
            text,
            r#"{"text":"\u0010\u0011\u0003\u0004\u001a"#.to_owned() + "\u{ff}\u{20ac}\"}"
        );
        let large = "return (await host.echo({ text: 'x'.repeat(3_000_000) })).text.length;";
        assert_eq!(value(&run(&sandbox, typescript(large)).await), "3000000");
        sandbox.shutdown().await;
    }
}

/// At a limit the interpreter says so, or its process ends.
fn limit(ran: &Result<Done, LeaseEnd>) -> Option<Limit> {
    match ran {
        Ok(Done { end: End::Limit(limit), .. }) | Err(LeaseEnd::Limit(limit, _)) => Some(*limit),
        _ => None,
    }
}

async fn memory_ends(docker: docker::Config) {
    let sandbox = sandbox(docker).await;
    let bomb = "const all = []; for (;;) all.push(new Array(100_000).fill(all.length));";
    let ran = run(&sandbox, typescript(bomb)).await;
    assert_eq!(limit(&ran), Some(Limit::MemoryBytes), "{ran:?}");
    assert_eq!(value(&run(&sandbox, typescript("return 7;")).await), "7");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn docker_ends_a_memory_bomb() {
    memory_ends(config(&Daemon::docker())).await;
}

#[tokio::test]
async fn podman_ends_a_memory_bomb() {
    memory_ends(config(&Daemon::podman())).await;
}

#[tokio::test]
async fn gvisor_ends_a_memory_bomb() {
    memory_ends(gvisor(&Daemon::docker())).await;
}

/// The container's own memory stands behind the run's limit.
#[tokio::test]
async fn a_container_has_less_memory_than_a_run_may_want() {
    let daemon = Daemon::docker();
    let sandbox = sandbox(docker::Config { memory_bytes: 64 << 20, ..config(&daemon) }).await;
    let limits = Limits { memory_bytes: 512 << 20, wall_ms: 30_000, ..Limits::default() };
    let bomb = "const all = []; for (;;) all.push(new Array(100_000).fill(all.length));";
    let ran = run(&sandbox, program(Language::TypeScript, bomb, limits)).await;
    assert_eq!(limit(&ran), Some(Limit::MemoryBytes), "{ran:?}");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn the_deadline_and_the_processor_limit_end_a_run() {
    let daemon = Daemon::docker();
    let sandbox = sandbox(config(&daemon)).await;
    let limits = Limits { wall_ms: 400, ..Limits::default() };
    let hangs = program(Language::TypeScript, "await host.hang({});", limits);
    let ran = run(&sandbox, hangs).await;
    assert_eq!(limit(&ran), Some(Limit::WallMs), "{ran:?}");
    let limits = Limits { wall_ms: 30_000, cpu_ms: 300, ..Limits::default() };
    let ran = run(&sandbox, program(Language::TypeScript, "for (;;) {}", limits)).await;
    assert_eq!(limit(&ran), Some(Limit::CpuMs), "{ran:?}");
    sandbox.shutdown().await;
}
