//! What it costs that nothing is lost: the journal, going on from it, the queue, idle sessions.
//!
//! `cargo xtask bench durable [runs|resume|jobs|sessions]`. The engine is in this process, over a
//! `SQLite` file, with real workers; its tools do nothing but wait. On a small and shared machine read
//! ratios and minima: what is compared takes turns.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking, prints, and hears from its runner where servers are"
)]

mod house;
mod jobs;

use house::House;
use narrows_types::{Durability, Language};
use std::time::{Duration, Instant};

/// Executions of each kind.
const ROUNDS: usize = 60;
/// Sessions that nobody uses.
const SESSIONS: usize = 10_000;
const CALLS: usize = 1_000;

#[tokio::main]
async fn main() {
    // `cargo test --benches` calls this too, without `--bench`: nothing to do there.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("narrows.db").display());
    let house = House::open(&url).await;
    if wanted("sessions") {
        // First: what else took memory and gave it back would hide some.
        sessions(&house).await;
    }
    if wanted("runs") {
        runs(&house).await;
    }
    if wanted("resume") {
        resume(&house).await;
    }
    house.close().await;
    if wanted("jobs") {
        jobs::all(folder.path()).await;
    }
}

/// A run with 20 calls of 5 ms, with each durability in turn.
async fn runs(house: &House) {
    let python = "await asyncio.gather(*[host.wait(ms=5) for i in range(20)])\nreturn 1";
    let programs = [
        (
            "20 sequential, ts",
            Language::TypeScript,
            "for (let i = 0; i < 20; i++) await host.wait({ ms: 5 }); return 1",
        ),
        (
            "20 parallel, ts",
            Language::TypeScript,
            "await Promise.all(Array.from({ length: 20 }, () => host.wait({ ms: 5 }))); return 1",
        ),
        (
            "20 writes, ts",
            Language::TypeScript,
            "for (let i = 0; i < 20; i++) await host.write({ ms: 5 }); return 1",
        ),
        (
            "20 sequential, py",
            Language::Python,
            "for i in range(20):\n    await host.wait(ms=5)\nreturn 1",
        ),
        ("20 parallel, py", Language::Python, python),
    ];
    let kinds = [Durability::Off, Durability::Async, Durability::Sync];
    for (name, language, code) in programs {
        let mut took: [Vec<f64>; 3] = Default::default();
        for round in 0..ROUNDS + 5 {
            for turn in 0..kinds.len() {
                // Whoever comes after another pays for what that one left to be done.
                let at = (turn + round) % kinds.len();
                let (Some(kind), Some(took)) = (kinds.get(at), took.get_mut(at)) else { continue };
                let start = Instant::now();
                house.run(language, code, *kind).await;
                if round >= 5 {
                    took.push(start.elapsed().as_secs_f64() * 1e3);
                }
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }
        let [off, behind, sync] = took.map(Figures::of);
        println!(
            "{name:18} off {off}, async {behind}, sync {sync} ms: async {:+.1} % (min {:+.1} %), sync {:+.2} ms (min {:+.2})",
            (behind.median / off.median - 1.0) * 100.0,
            (behind.min / off.min - 1.0) * 100.0,
            sync.median - off.median,
            sync.min - off.min,
        );
    }
}

/// A run of 1,000 calls, interrupted just before its end, goes on.
async fn resume(house: &House) {
    let typescript = "let n = 0; for (let i = 0; i < 100; i++) { const rs = await Promise.all(Array.from({ length: 10 }, (_, k) => host.add({ k: i * 10 + k }))); for (const r of rs) n += r.v } return n";
    let python = "n = 0\nfor i in range(100):\n    rs = await asyncio.gather(*[host.add(k=i * 10 + k) for k in range(10)])\n    for r in rs:\n        n += r['v']\nreturn n";
    for (name, language, code) in
        [("ts", Language::TypeScript, typescript), ("py", Language::Python, python)]
    {
        let start = Instant::now();
        let whole = house.run(language, code, Durability::Async).await;
        let first = start.elapsed().as_secs_f64() * 1e3;
        let mut took = Vec::new();
        for copy in 0..20 {
            let copy = house.copy(&whole, copy, CALLS).await;
            let start = Instant::now();
            house.resume(copy).await;
            took.push(start.elapsed().as_secs_f64() * 1e3);
        }
        println!(
            "resume of {CALLS} calls, {name}: {} ms (the run itself {first:.0} ms)",
            Figures::of(took)
        );
    }
}

/// What sessions cost that nobody uses.
async fn sessions(house: &House) {
    house.session().await;
    let before = resident();
    let start = Instant::now();
    for _ in 0..SESSIONS {
        house.session().await;
    }
    let (after, seconds) = (resident(), start.elapsed().as_secs_f64());
    println!(
        "{SESSIONS} idle sessions: {:+.1} MiB resident (from {:.1}), made in {seconds:.1} s",
        after - before,
        before
    );
}

/// Mebibytes of this process in memory.
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4.0 / 1_024.0
}

/// Milliseconds of many executions.
struct Figures {
    min: f64,
    median: f64,
}

impl Figures {
    fn of(mut took: Vec<f64>) -> Self {
        took.sort_by(f64::total_cmp);
        Self { min: *took.first().unwrap(), median: *took.get(took.len() / 2).unwrap() }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} (min {:.2})", self.median, self.min)
    }
}
