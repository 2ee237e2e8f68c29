//! A sandbox whose workers are containers, and runs in it.

use crate::daemon::Daemon;
use narrows_sandbox::{Config, LeaseEnd, Sandbox, SandboxError, docker};
use narrows_types::frame::{Done, End, FromWorker, Go, Program, Reply, ToWorker};
use narrows_types::{BackendKind, Language, Limits};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// The static worker that `cargo xtask worker` has built.
pub(crate) fn worker() -> PathBuf {
    std::env::var_os("NARROWS_STATIC_WORKER").map_or_else(built, PathBuf::from)
}

fn built() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).unwrap();
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let path = folder.join(target).join("release/narrows-worker");
    assert!(path.exists(), "no static worker: run `cargo xtask worker`");
    path
}

pub(crate) fn config(daemon: &Daemon) -> docker::Config {
    docker::Config::new(worker(), vec![daemon.socket.clone()])
}

pub(crate) async fn sandbox(docker: docker::Config) -> Sandbox {
    let config = Config {
        warm: 1,
        backend: Some(BackendKind::Docker),
        start_ms: 30_000,
        docker: Some(docker),
        // No process is started of it.
        ..Config::new(PathBuf::from("/proc/self/exe"), Vec::new())
    };
    Sandbox::start(config).await.unwrap()
}

pub(crate) fn typescript(code: &str) -> Program {
    program(Language::TypeScript, code, Limits { wall_ms: 30_000, ..Limits::default() })
}

pub(crate) fn program(language: Language, code: &str, limits: Limits) -> Program {
    let (code, input) = (code.to_owned(), None);
    Program { code, language, input, limits, now_ms: 0, seed: 1, state: false }
}

/// Runs one program. Of the server `host`, the tool `echo` gives its arguments back, and `hang`
/// does not answer.
pub(crate) async fn run(sandbox: &Sandbox, program: Program) -> Result<Done, LeaseEnd> {
    run_until(sandbox, program, || {}).await.unwrap()
}

/// As [`run`]; `hung` is called when the program has called `hang`.
pub(crate) async fn run_until(
    sandbox: &Sandbox,
    program: Program,
    mut hung: impl FnMut(),
) -> Result<Result<Done, LeaseEnd>, SandboxError> {
    let mut lease = sandbox.lease(program.language, Instant::now() + LONG).await?;
    lease.arm(&program.limits);
    let mut answer = Some(ToWorker::Run(Box::new(program)));
    loop {
        if let Some(frame) = answer.take() {
            // What the worker said last is what counts, also where it no longer listens.
            drop(lease.send(&frame).await);
        }
        match lease.receive().await {
            Ok(FromWorker::Uses(uses)) => {
                assert!(uses.findings.is_empty(), "{:?}", uses.findings);
                let mut namespaces: Vec<_> = uses.references.into_iter().map(|r| r.root).collect();
                namespaces.retain(|name| name == "host");
                namespaces.dedup();
                answer = Some(ToWorker::Go(Go { namespaces }));
            }
            Ok(FromWorker::Call(call)) if call.tool == "hang" => hung(),
            Ok(FromWorker::Call(call)) => {
                let body = call.args.get().to_owned();
                answer = Some(ToWorker::Reply(Reply { id: call.id, ok: true, at_us: 0, body }));
            }
            Ok(FromWorker::Done(done)) => return Ok(Ok(*done)),
            Ok(_) => {}
            Err(end) => return Ok(Err(end)),
        }
    }
}

/// The value that a run returned.
pub(crate) fn value(ran: &Result<Done, LeaseEnd>) -> &str {
    match ran {
        Ok(Done { end: End::Value(value), .. }) => value.get(),
        other => panic!("no value: {other:?}"),
    }
}
