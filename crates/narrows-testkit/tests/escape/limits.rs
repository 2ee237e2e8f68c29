//! Runs that each go beyond one limit, by how much and how is drawn: every one is told by the name
//! of its limit, and afterwards all is as before. `NARROWS_LIMIT_RUNS` says how many on the back end
//! `process`, for root and for an ordinary user; elsewhere there are fewer.

use crate::house::{LONG, Ran, program, run_by};
use crate::places::{self, Inside, Maker, Place};
use crate::programs::{show, words};
use futures_util::StreamExt as _;
use narrows_sandbox::{Sandbox, Want};
use narrows_types::{BackendKind, Engine, Language, Limits};
use proptest::prelude::Strategy;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const WARM: usize = 4;
/// How late an answer may be on a machine that has nothing else to do. Told, not demanded: what the
/// machine has to do is not known here.
const GOAL: Duration = Duration::from_millis(100);
/// Later than that is not the machine: the limit was not noticed but something else ended the run.
const LATE_MAX: Duration = Duration::from_secs(10);
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

    /// How long after its limit it ended, or longer: of what is no time the limit was reached after
    /// the last call that the host saw.
    fn late(&self, ran: &Ran) -> Duration {
        match (self.kind, &ran.end) {
            // A busy machine gives a run less than all of a processor.
            (Kind::Cpu, Ok(done)) => Duration::from_micros(done.usage.cpu_us)
                .saturating_sub(Duration::from_millis(self.limits.cpu_ms)),
            (Kind::Cpu, Err(_)) => {
                ran.took.saturating_sub(Duration::from_millis(self.limits.cpu_ms))
            }
            (Kind::Wall, _) => ran.took.saturating_sub(Duration::from_millis(self.limits.wall_ms)),
            _ => ran.since_call,
        }
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
        (Kind::Memory, true) => piecewise("for (let n = 0; n < 2_000; n++) kept = { kept };"),
        (Kind::Memory, false) => piecewise("kept = [kept, Array(16_000).fill(0.5)];"),
        (Kind::Calls, true) => "for (;;) await host.echo({ n: 1 });".to_owned(),
        (Kind::Calls, false) => {
            "for (;;) await Promise.all([1, 2, 3].map((n) => host.echo({ n })));".to_owned()
        }
        (Kind::Result, _) => {
            format!("return (await host.echo({{ text: 'x'.repeat({size}) }})).text.length;")
        }
        (Kind::Value, true) => {
            format!("const v = 'x'.repeat({size}); await host.echo({{}}); return v;")
        }
        (Kind::Value, false) => {
            format!("const v = Array({size}).fill(7); await host.echo({{}}); return v;")
        }
        (Kind::Stack, _) => {
            "const f = (n: number): number => 1 + f(n + 1); await host.echo({}); return f(0);"
                .to_owned()
        }
    }
}

/// Memory piece by piece, with a call between: the limit is reached after the last call that the
/// host sees, and less than a piece later.
fn piecewise(piece: &str) -> String {
    format!("let kept: any; for (;;) {{ {piece} await host.echo({{}}); }}")
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
        (Kind::Memory, true) => {
            "kept = []\nwhile True:\n    kept.append([1] * 16000)\n    host.echo()".to_owned()
        }
        (Kind::Memory, false) => {
            "kept = []\nwhile True:\n    kept.append('a' * 300000)\n    host.echo()".to_owned()
        }
        (Kind::Calls, true) => "while True:\n    host.echo(n=1)".to_owned(),
        (Kind::Calls, false) => "import asyncio\nwhile True:\n    await asyncio.gather(*[host.echo(n=n) for n in range(3)])".to_owned(),
        (Kind::Result, _) => format!("len(host.echo(text='x' * {size})['text'])"),
        (Kind::Value, true) => format!("v = 'x' * {size}\nhost.echo()\nv"),
        (Kind::Value, false) => format!("v = [7] * {size}\nhost.echo()\nv"),
        (Kind::Stack, _) => "def f(n):\n    return 1 + f(n + 1)\nhost.echo()\nf(0)".to_owned(),
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
            Memory => {
                limits.memory_bytes = (16 << 20) + share * (48 << 10);
                limits.calls = 100_000;
            }
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
        let ran = run_by(sandbox, want, program(language, &one.code, one.limits.clone())).await;
        // What calls carried would be counted as grown memory.
        (one, Ran { said: Vec::new(), ..ran })
    });
    // As many as there are processors here, so that being late is not waiting for one.
    futures_util::stream::iter(each).buffer_unordered(2).collect().await
}

/// So many runs in one sandbox.
async fn round(place: Option<Place>, engines: &[Engine], count: usize) {
    let Some(mut place) = place else { return };
    place.config.warm = WARM;
    let sandbox = place.open().await;
    let mut runner = TestRunner::deterministic();
    let mut draw = |count: usize| -> Vec<Greedy> {
        (0..count).map(|_| greedy(engines).new_tree(&mut runner).unwrap().current()).collect()
    };
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
        late.entry((one.kind, one.engine.to_string())).or_default().push(one.late(&ran));
    }
    let took = begun.elapsed();
    let begun = Instant::now();
    full(&sandbox).await;
    let after = resident();
    print(&format!(
        "{}: {count} runs in {took:.1?}, {} wrong; full again {:?} later; memory {before} KiB, then {after} KiB",
        place.name,
        wrong.len(),
        begun.elapsed(),
    ));
    tell(&late);
    sandbox.shutdown().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let late = late.values().flatten().max().copied().unwrap_or_default();
    assert!(late < LATE_MAX, "{late:?} late");
    assert!(after < before + GROWTH_MAX, "{before} KiB, then {after} KiB");
}

/// How many runs on the back end that most is demanded of.
fn many() -> usize {
    std::env::var("NARROWS_LIMIT_RUNS").map_or(200, |count| count.parse().unwrap())
}

const EMBEDDED: [Engine; 2] = [Engine::Quickjs, Engine::Monty];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_beyond_a_limit_is_told_by_its_name() {
    round(places::here(BackendKind::Process, Inside::Worker), &EMBEDDED, many()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_an_ordinary_user_too() {
    round(places::nobody(Inside::Worker), &EMBEDDED, many()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_webassembly_and_without_walls_too() {
    round(places::here(BackendKind::Wasm, Inside::Worker), &[Engine::Wasm], 60).await;
    round(places::here(BackendKind::Basic, Inside::Worker), &EMBEDDED, 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_engines_of_the_system_too() {
    round(places::cpython(), &[Engine::Cpython], 20).await;
    round(places::deno(), &[Engine::Deno], 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_containers_too() {
    round(places::containers(Maker::Docker, Inside::Worker), &EMBEDDED, 30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_machines_too() {
    round(places::machines(Inside::Worker), &EMBEDDED, 14).await;
}

fn tell(late: &BTreeMap<(Kind, String), Vec<Duration>>) {
    for ((kind, engine), times) in late {
        let mut times = times.clone();
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).or(times.last());
        let [p50, p99, most] = [50, 99, 100].map(|share| at(share).copied().unwrap_or_default());
        let over = times.iter().filter(|late| **late > GOAL).count();
        print(&format!(
            "  {kind:?} {engine}: {} runs, late by p50 {p50:.2?}, p99 {p99:.2?}, max {most:.2?}; \
             {over} beyond {GOAL:?}",
            times.len()
        ));
    }
}

#[expect(clippy::print_stderr, reason = "the figures are for whoever runs it")]
fn print(line: &str) {
    eprintln!("{line}");
}
