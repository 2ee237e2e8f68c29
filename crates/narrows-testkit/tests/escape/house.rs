//! A sandbox over the test's own worker binary, and runs in it.

use narrows_sandbox::{Config, Health, Lease, LeaseEnd, Loss, Sandbox, Want};
use narrows_types::frame::{CallError, Done, FromWorker, Go, Program, Reply, ToWorker};
use narrows_types::{BackendKind, Engine, Language, Limits};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longer than any run here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn config(mode: &str) -> Config {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_jailed-worker"));
    let engines = vec![Engine::Quickjs, Engine::Monty, Engine::Cpython, Engine::Deno];
    let base = Config::new(program, vec![mode.to_owned()]);
    Config { warm: 1, backend: Some(BackendKind::Process), engines, start_ms: 20_000, ..base }
}

pub(crate) async fn sandbox(mode: &str) -> Sandbox {
    Sandbox::start(config(mode)).await.unwrap()
}

/// The pool of a language's own engine.
pub(crate) fn health(sandbox: &Sandbox, language: Language) -> Health {
    let all = sandbox.health();
    let of = |health: &Health| health.engine.language() == language;
    all.into_iter().find(of).unwrap()
}

pub(crate) fn program(language: Language, code: &str, limits: Limits) -> Program {
    let (code, input) = (code.to_owned(), None);
    Program { code, language, input, limits, now_ms: 0, seed: 1, state: false }
}

/// How a run ended, and what it did on its way.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) end: Result<Done, LeaseEnd>,
    pub(crate) findings: Vec<String>,
    pub(crate) calls: usize,
    /// Calls, log lines, progress and what was shown, as they came.
    pub(crate) said: Vec<String>,
    pub(crate) took: Duration,
    /// From the last call, or where there was none from the start, to the end.
    pub(crate) since_call: Duration,
}

/// Runs one program; every free name is a namespace, and every call of `echo` gives its arguments
/// back, `fail` fails, and `hang` gets no answer.
pub(crate) async fn run(sandbox: &Sandbox, program: Program) -> Ran {
    run_by(sandbox, program.language, program).await
}

/// The same by a certain kind of worker.
pub(crate) async fn run_by(sandbox: &Sandbox, want: impl Into<Want>, program: Program) -> Ran {
    let mut lease = sandbox.lease(want, Instant::now() + LONG).await.unwrap();
    run_in(&mut lease, program).await
}

/// The same in a worker that is there.
pub(crate) async fn run_in(lease: &mut Lease, program: Program) -> Ran {
    lease.arm(&program.limits);
    let _denied = lease.connect(&program.limits.network);
    let started = Instant::now();
    let mut ran = Ran {
        end: Err(LeaseEnd::Lost(Loss::Died, "not begun".to_owned())),
        findings: Vec::new(),
        calls: 0,
        said: Vec::new(),
        took: Duration::ZERO,
        since_call: Duration::ZERO,
    };
    let mut called = started;
    let mut sent = lease.send(&ToWorker::Run(Box::new(program))).await;
    ran.end = loop {
        // What the worker said last is what counts, also where it no longer listens.
        let frame = match lease.receive().await {
            Ok(frame) => frame,
            Err(end) => break Err(end),
        };
        let answer = match frame {
            FromWorker::Uses(uses) if !uses.findings.is_empty() => {
                ran.findings = uses.findings.iter().map(|found| format!("{found:?}")).collect();
                break Err(LeaseEnd::Lost(Loss::Died, "rejected".to_owned()));
            }
            FromWorker::Uses(uses) => {
                let mut namespaces: Vec<_> =
                    uses.references.into_iter().map(|reference| reference.root).collect();
                namespaces.sort();
                namespaces.dedup();
                namespaces.retain(|name| name == "host");
                ToWorker::Go(Go { namespaces })
            }
            FromWorker::Call(call) => {
                called = Instant::now();
                ran.calls += 1;
                ran.said.push(format!("{}.{} {}", call.server, call.tool, call.args.get()));
                let tool = format!("{}.{}", call.server, call.tool);
                let error = CallError { tool, message: "no".to_owned(), arguments: String::new() };
                match call.tool.as_str() {
                    "echo" => reply(call.id, true, call.args.get()),
                    "hang" => continue,
                    _ => reply(call.id, false, &serde_json::to_string(&error).unwrap()),
                }
            }
            FromWorker::Done(done) => break Ok(*done),
            FromWorker::Log(_) | FromWorker::Progress(_) | FromWorker::Show(_) => {
                ran.said.push(format!("{frame:?}"));
                continue;
            }
            FromWorker::Hello(_) | FromWorker::Idle => continue,
        };
        sent = sent.and(lease.send(&answer).await);
    };
    (ran.took, ran.since_call) = (started.elapsed(), called.elapsed());
    drop(sent);
    ran
}

fn reply(id: u32, ok: bool, body: &str) -> ToWorker {
    ToWorker::Reply(Reply { id, ok, at_us: 0, body: body.to_owned() })
}
