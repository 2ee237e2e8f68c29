//! Runs that each go beyond one limit, by how much and how is drawn: every one is told by the name
//! of its limit, and afterwards all is as before. `NARROWS_LIMIT_RUNS` says how many on the back end
//! `process`, for root and for an ordinary user; elsewhere there are fewer.

use crate::house::{LONG, Ran, config, program, run_by};
use crate::places::{self, Inside};
use crate::programs::{deno, show, words};
use crate::walls::as_nobody;
use futures_util::StreamExt as _;
use narrows_sandbox::{Config, Sandbox, Want};
use narrows_types::{BackendKind, Engine, Language, Limits};
use proptest::prelude::Strategy;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const WARM: usize = 4;
/// What the heap of the test's own process may grow by, in KiB.
const GROWTH_MAX: u64 = 48 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Cpu,
    Wall,
    Memory,
    Calls,
    Result,
    Value,
    Stack,
}

/// One run that is to end at its limit.
#[derive(Debug, Clone)]
struct Greedy {
    kind: Kind,
    engine: Engine,
    code: String,
    limits: Limits,
}

impl Greedy {
    fn word(&self) -> &'static str {
        match self.kind {
            Kind::Cpu => "limit cpu_ms",
            Kind::Wall => "limit wall_ms",
            Kind::Memory => "limit memory_bytes",
            Kind::Calls => "limit calls",
            Kind::Result => "limit result_bytes",
            Kind::Value => "limit value_bytes",
            Kind::Stack => "limit stack",
        }
    }

    /// Milliseconds that it may last by right.
    fn allowed(&self) -> Duration {
        Duration::from_millis(match self.kind {
            Kind::Cpu => self.limits.cpu_ms,
            Kind::Wall => self.limits.wall_ms,
            _ => 0,
        })
    }
}

fn typescript(kind: Kind, size: u64, way: bool) -> String {
    match (kind, way) {
        (Kind::Cpu, true) => "for (;;) {}".to_owned(),
        (Kind::Cpu, false) => "let s = 0; for (;;) for (const x of [1, 2, 3]) s += x;".to_owned(),
        (Kind::Wall, true) => "return await host.hang({});".to_owned(),
        (Kind::Wall, false) => {
            "await host.echo({}); await Promise.all([host.hang({}), host.hang({})]);".to_owned()
        }
        (Kind::Memory, true) => "let kept: any; for (;;) kept = { kept };".to_owned(),
        (Kind::Memory, false) => {
            "const all = []; for (;;) all.push(Array(500).fill(all.length));".to_owned()
        }
        (Kind::Calls, true) => "for (;;) await host.echo({ n: 1 });".to_owned(),
        (Kind::Calls, false) => {
            "for (;;) await Promise.all([1, 2, 3].map((n) => host.echo({ n })));".to_owned()
        }
        (Kind::Result, _) => {
            format!("return (await host.echo({{ text: 'x'.repeat({size}) }})).text.length;")
        }
        (Kind::Value, true) => format!("return 'x'.repeat({size});"),
        (Kind::Value, false) => format!("return Array({size}).fill(7);"),
        (Kind::Stack, _) => {
            "const f = (n: number): number => 1 + f(n + 1); return f(0);".to_owned()
        }
    }
}

fn python(kind: Kind, size: u64, way: bool) -> String {
    match (kind, way) {
        (Kind::Cpu, true) => "while True:\n    pass".to_owned(),
        (Kind::Cpu, false) => "s = 0\nwhile True:\n    s += sum([1, 2, 3])".to_owned(),
        (Kind::Wall, true) => "host.hang()".to_owned(),
        (Kind::Wall, false) => {
            "import asyncio\nhost.echo(n=1)\nawait asyncio.gather(host.hang(), host.hang())"
                .to_owned()
        }
        (Kind::Memory, true) => "kept = []\nwhile True:\n    kept.append([1] * 100)".to_owned(),
        (Kind::Memory, false) => "kept = 'a'\nwhile True:\n    kept = kept + kept".to_owned(),
        (Kind::Calls, true) => "while True:\n    host.echo(n=1)".to_owned(),
        (Kind::Calls, false) => "import asyncio\nwhile True:\n    await asyncio.gather(*[host.echo(n=n) for n in range(3)])".to_owned(),
        (Kind::Result, _) => format!("len(host.echo(text='x' * {size})['text'])"),
        (Kind::Value, true) => format!("'x' * {size}"),
        (Kind::Value, false) => format!("[7] * {size}"),
        (Kind::Stack, _) => "def f(n):\n    return 1 + f(n + 1)\nf(0)".to_owned(),
    }
}

/// A run on one of these engines.
fn greedy(engines: &[Engine]) -> impl Strategy<Value = Greedy> + use<> {
    use Kind::{Calls, Cpu, Memory, Result, Stack, Value, Wall};
    let kind = proptest::sample::select(vec![Cpu, Wall, Memory, Calls, Result, Value, Stack]);
    let engine = proptest::sample::select(engines.to_vec());
    let way = proptest::bool::ANY;
    let own_stack = |engine: Engine| matches!(engine, Engine::Cpython | Engine::Deno);
    let drawn = (kind, engine, way, 0_u64..1_000);
    // The system's engines have stacks of their own, whose end is an error like any other, and V8
    // collects for half a minute before it says that there is no memory.
    let drawn = drawn.prop_filter("a limit of ours", move |(kind, engine, _, _)| match kind {
        Stack => !own_stack(*engine),
        Memory => *engine != Engine::Deno,
        _ => true,
    });
    drawn.prop_map(|(kind, engine, way, share)| {
        let language = engine.language();
        // Large enough that no other limit comes first.
        let size = 20_000 + share * 1_000;
        let mut limits = Limits { cpu_ms: 20_000, ..Limits::default() };
        match kind {
            Cpu => limits.cpu_ms = 50 + share / 4,
            Wall => limits.wall_ms = 50 + share / 4,
            Memory => limits.memory_bytes = (16 << 20) + share * (48 << 10),
            Calls => limits.calls = u32::try_from(share / 10).unwrap(),
            Result => limits.result_bytes = size / 2,
            Value => limits.value_bytes = size / 2,
            Stack => {}
        }
        let code = match language {
            Language::TypeScript => typescript(kind, size, way),
            Language::Python => python(kind, size, way),
        };
        Greedy { kind, engine, code, limits }
    })
}

/// KiB of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn full(sandbox: &Sandbox) {
    let end = Instant::now() + LONG;
    let all = |sandbox: &Sandbox| {
        let full = |h: &narrows_sandbox::Health| h.ready && h.idle == WARM && h.living <= WARM;
        sandbox.running() == 0 && sandbox.health().iter().all(full)
    };
    while !all(sandbox) {
        assert!(Instant::now() < end, "not at full strength: {:?}", sandbox.health());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn all(sandbox: &Sandbox, runs: Vec<Greedy>) -> Vec<(Greedy, Ran)> {
    let each = runs.into_iter().map(|one| async {
        let language = one.engine.language();
        let want = Want { engine: Some(one.engine), ..Want::from(language) };
        let ran = run_by(sandbox, want, program(language, &one.code, one.limits)).await;
        // What calls carried would be counted as grown memory.
        (one, Ran { said: Vec::new(), ..ran })
    });
    // As many as there are processors here, so that being late is not waiting for one.
    futures_util::stream::iter(each).buffer_unordered(2).collect().await
}

/// So many runs in one sandbox.
async fn round(name: &str, config: Config, engines: &[Engine], count: usize) {
    let mut runner = TestRunner::deterministic();
    let mut draw = |count: usize| -> Vec<Greedy> {
        (0..count).map(|_| greedy(engines).new_tree(&mut runner).unwrap().current()).collect()
    };
    let sandbox = Sandbox::start(Config { warm: WARM, ..config }).await.unwrap();
    // What the first runs allocate stays.
    all(&sandbox, draw((count / 5).min(40))).await;
    full(&sandbox).await;
    let before = resident();
    let begun = Instant::now();
    let mut late = BTreeMap::<(Kind, String), Vec<Duration>>::new();
    let mut wrong = Vec::new();
    for (one, ran) in all(&sandbox, draw(count)).await {
        if !words(&ran).iter().any(|word| word == one.word()) {
            wrong.push(format!("{one:?}: {}", show(&ran)));
        }
        // A busy machine gives a run less than all of a processor.
        let spent = match (&ran.end, one.kind) {
            (Ok(done), Kind::Cpu) => Duration::from_micros(done.usage.cpu_us),
            _ => ran.took,
        };
        let by = spent.saturating_sub(one.allowed());
        late.entry((one.kind, one.engine.to_string())).or_default().push(by);
    }
    let took = begun.elapsed();
    let begun = Instant::now();
    full(&sandbox).await;
    let after = resident();
    print(&format!(
        "{name}: {count} runs in {took:.1?}, {} wrong; full again {:?} later; memory {before} KiB, then {after} KiB",
        wrong.len(),
        begun.elapsed(),
    ));
    tell(&late);
    sandbox.shutdown().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(after < before + GROWTH_MAX, "{before} KiB, then {after} KiB");
}

/// How many runs on the back end that most is demanded of.
fn many() -> usize {
    std::env::var("NARROWS_LIMIT_RUNS").map_or(200, |count| count.parse().unwrap())
}

const EMBEDDED: [Engine; 2] = [Engine::Quickjs, Engine::Monty];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_beyond_a_limit_is_told_by_its_name() {
    round("process", config("worker"), &EMBEDDED, many()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_an_ordinary_user_too() {
    let Some((folder, config)) = as_nobody() else { return };
    round("process as nobody", config, &EMBEDDED, many()).await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_webassembly_and_without_walls_too() {
    round("wasm", places::here(BackendKind::Wasm), &[Engine::Wasm], 60).await;
    round("basic", places::here(BackendKind::Basic), &EMBEDDED, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_engines_of_the_system_too() {
    let mut config = config("worker");
    config.args.extend(["--deno".to_owned(), deno().display().to_string()]);
    round("process", config, &[Engine::Cpython, Engine::Deno], 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_containers_too() {
    if let Some(config) = places::containers(None, Inside::Worker) {
        round("docker", config, &EMBEDDED, 30).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_machines_too() {
    if let Some(config) = places::machines(Inside::Worker) {
        round("microvm", config, &EMBEDDED, 14).await;
    }
}

/// How late; of limits that are no times, how long the run took in all.
fn tell(late: &BTreeMap<(Kind, String), Vec<Duration>>) {
    for ((kind, engine), times) in late {
        let mut times = times.clone();
        times.sort_unstable();
        let p50 = times.get(times.len() / 2).copied().unwrap_or_default();
        let most = times.last().copied().unwrap_or_default();
        let word = if matches!(kind, Kind::Cpu | Kind::Wall) { "late by" } else { "took" };
        print(&format!(
            "  {kind:?} {engine}: {} runs, {word} p50 {p50:.2?}, max {most:.2?}",
            times.len()
        ));
    }
}

#[expect(clippy::print_stderr, reason = "the figures are for whoever runs it")]
fn print(line: &str) {
    eprintln!("{line}");
}
