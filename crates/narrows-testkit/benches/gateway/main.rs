//! Passing tool calls through: Narrows and other gateways over HTTP, in front of one upstream that
//! answers in microseconds, in one run.
//!
//! `cargo xtask bench gateway [table|abandoned|hanging|soak]... [--minutes N] [--seconds N]
//! [--only NAME] [--json]`. `soak` runs only when it is named. Read ratios: the machine is small,
//! and the load and the upstream share it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    reason = "a benchmark fails by panicking, prints, starts programs and shares the tests' house"
)]

mod contenders;
#[path = "../../tests/blackbox/house.rs"]
mod house;
mod load;
mod process;
mod soak;

use contenders::{Behind, Gateway, Upstream, names, stdio_server};
use load::{Client, Measured, Speech, Target, block, load};
use process::{cpu_ms, descendants, rss_mb};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Sessions that are opened and left alone.
const ABANDONED: usize = 200;
/// Calls that hang while others are measured.
const HANGING: usize = 100;

struct Options {
    parts: Vec<String>,
    window: Duration,
    minutes: f64,
    only: Option<String>,
    json: bool,
}

impl Options {
    fn read() -> Self {
        let mut options = Self {
            parts: Vec::new(),
            window: Duration::from_secs(4),
            minutes: 20.0,
            only: None,
            json: false,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap();
            match arg.as_str() {
                "--bench" => {}
                "--json" => options.json = true,
                "--seconds" => options.window = Duration::from_secs_f64(value().parse().unwrap()),
                "--minutes" => options.minutes = value().parse().unwrap(),
                "--only" => options.only = Some(value()),
                _ => options.parts.push(arg),
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        let named = self.parts.iter().any(|p| p == part);
        named || (self.parts.is_empty() && part != "soak")
    }
}

fn main() {
    // `cargo test --benches` calls this too, without `--bench`: nothing to do there.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let options = Options::read();
    let mut report = Vec::new();
    if options.wants("table") {
        table(&options, &mut report);
    }
    if options.wants("abandoned") {
        abandoned(&options, &mut report);
    }
    if options.wants("hanging") {
        hanging(&options, &mut report);
    }
    if options.wants("soak") {
        soak::run(options.minutes, &mut report);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report).unwrap());
    } else {
        report.iter().for_each(print);
    }
}

/// One line a row; further members follow in their order.
fn print(row: &Value) {
    let members = row.as_object().unwrap();
    let number = |v: &Value| match v.as_f64() {
        Some(n) if n.fract() == 0.0 || n >= 1_000.0 => format!("{n:.0}"),
        Some(n) if n >= 10.0 => format!("{n:.1}"),
        Some(n) => format!("{n:.3}"),
        None => v.as_str().map_or_else(|| v.to_string(), ToOwned::to_owned),
    };
    let cells: Vec<String> = members.iter().map(|(k, v)| format!("{k} {}", number(v))).collect();
    println!("{}", cells.join(" | "));
}

fn note(text: &str) {
    eprintln!("{text}");
}

/// Requests per second, times, processor time and memory.
fn table(options: &Options, report: &mut Vec<Value>) {
    let upstream = Upstream::start(0);
    for speech in [Speech::Legacy, Speech::Modern] {
        note(&format!("direct {speech:?}"));
        let target = upstream.target(speech);
        let (one, many) = (load(&target, 1, options.window), load(&target, 16, options.window));
        report.push(row("direct", "http", speech, &one, &many, &json!({})));
    }
    for behind in [Behind::Stdio, Behind::Http] {
        for name in names(behind) {
            if options.only.as_ref().is_none_or(|only| only == name) {
                contender(options, &Gateway::start(name, behind, &upstream), report);
            }
        }
    }
}

fn contender(options: &Options, gateway: &Gateway, report: &mut Vec<Value>) {
    let pid = gateway.pid();
    for speech in [Speech::Legacy, Speech::Modern, Speech::Rest] {
        let Some(target) = gateway.target(speech) else { continue };
        note(&format!("{} before {} {speech:?}", gateway.name, gateway.behind.name()));
        // Code that is compiled while it runs needs a while.
        load(&target, 4, Duration::from_secs(1));
        std::thread::sleep(Duration::from_secs(1));
        let idle = rss_mb(pid);
        let one = load(&target, 1, options.window);
        let before = (cpu_ms(pid), children_cpu_ms(pid));
        let (many, peak) = watched(pid, || load(&target, 16, options.window));
        let after = (cpu_ms(pid), children_cpu_ms(pid));
        let calls = many.count as f64;
        let more = json!({
            "cpu_ms_call": (after.0 - before.0) / calls,
            "children_cpu_ms_call": (after.1 - before.1) / calls,
            "rss_idle_mb": idle,
            "rss_load_mb": peak,
            "children": descendants(pid).len(),
        });
        report.push(row(gateway.name, gateway.behind.name(), speech, &one, &many, &more));
    }
}

fn children_cpu_ms(pid: u32) -> f64 {
    descendants(pid).into_iter().map(|(child, _)| cpu_ms(child)).sum()
}

/// The largest memory while something is done.
fn watched<T>(pid: u32, work: impl FnOnce() -> T) -> (T, f64) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0.0_f64;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(rss_mb(pid));
                std::thread::sleep(Duration::from_millis(200));
            }
            peak.max(rss_mb(pid))
        });
        let value = work();
        done.store(true, Ordering::Relaxed);
        (value, watch.join().unwrap())
    })
}

fn row(
    name: &str,
    behind: &str,
    speech: Speech,
    one: &Measured,
    many: &Measured,
    more: &Value,
) -> Value {
    let mut row = json!({
        "gateway": name,
        "upstream": behind,
        "client": format!("{speech:?}").to_lowercase(),
        "c1_per_s": one.per_second.round(),
        "c1_p50_us": one.quantile(0.5),
        "c1_p99_us": one.quantile(0.99),
        "c16_per_s": many.per_second.round(),
        "c16_p50_us": many.quantile(0.5),
        "c16_p99_us": many.quantile(0.99),
        "failed": one.failed + many.failed,
    });
    let members = row.as_object_mut().unwrap();
    members.extend(more.as_object().cloned().unwrap_or_default());
    row
}

/// Sessions that are opened, used once and left without a word.
fn abandoned(options: &Options, report: &mut Vec<Value>) {
    let upstream = Upstream::start(0);
    for name in names(Behind::Stdio) {
        if options.only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        note(&format!("abandoned sessions: {name}"));
        let gateway = Gateway::start(name, Behind::Stdio, &upstream);
        let pid = gateway.pid();
        let target = gateway.target(Speech::Legacy).unwrap();
        load(&target, 16, Duration::from_secs(2));
        std::thread::sleep(Duration::from_secs(5));
        let (before, children) = (rss_mb(pid), descendants(pid).len());
        block(async {
            for _ in 0..ABANDONED {
                let mut client = Client::open(&target).await.unwrap();
                client.echo("left alone").await.unwrap();
            }
        });
        std::thread::sleep(Duration::from_secs(5));
        let (after, left) = (rss_mb(pid), descendants(pid).len());
        report.push(json!({
            "gateway": name,
            "abandoned_sessions": ABANDONED,
            "rss_before_mb": before,
            "rss_after_mb": after,
            "rss_growth_percent": (after / before - 1.0) * 100.0,
            "children_before": children,
            "children_after": left,
        }));
    }
}

/// What calls that hang at one upstream do to those of another, in turns.
fn hanging(options: &Options, report: &mut Vec<Value>) {
    note("a hanging upstream");
    let servers = json!({"echo": stdio_server("echo"), "stuck": stdio_server("stuck")});
    let gateway = Gateway::narrows(Behind::Stdio, &servers);
    let mut target = gateway.target(Speech::Legacy).unwrap();
    let tools = block(async { Client::open(&target).await.unwrap().tools().await.unwrap() });
    let named = |server: &str, tool: &str| {
        tools.iter().find(|t| t.starts_with(server) && t.ends_with(tool)).cloned().unwrap()
    };
    target.tool = named("echo", "echo");
    let hang = named("stuck", "hang");
    load(&target, 16, Duration::from_secs(1));
    let (mut free, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        free.push(load(&target, 16, options.window));
        beside.push(beside_hanging(&target, &hang, options.window));
    }
    let (free, beside) = (together(free), together(beside));
    report.push(json!({
        "gateway": "narrows",
        "hanging_calls": HANGING,
        "p50_us": free.quantile(0.5),
        "p99_us": free.quantile(0.99),
        "p50_beside_us": beside.quantile(0.5),
        "p99_beside_us": beside.quantile(0.99),
        "failed": free.failed + beside.failed,
        "p99_moved_percent": (beside.quantile(0.99) / free.quantile(0.99) - 1.0) * 100.0,
    }));
}

/// The load while other connections wait for answers that do not come.
fn beside_hanging(target: &Target, hang: &str, window: Duration) -> Measured {
    let (ready, begun) = std::sync::mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let (target_hanging, hang) = (target.clone(), hang.to_owned());
    let stuck = std::thread::spawn(move || {
        block(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..HANGING {
                let mut client = Client::open(&target_hanging).await.unwrap();
                let hang = hang.clone();
                tasks.spawn(async move { client.call(&hang, "").await.map(drop) });
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            ready.send(()).unwrap();
            let _told = ended.await;
            assert!(tasks.try_join_next().is_none(), "what hangs was answered");
        });
    });
    begun.recv().unwrap();
    let measured = load(target, 16, window);
    end.send(()).unwrap();
    stuck.join().unwrap();
    measured
}

fn together(all: Vec<Measured>) -> Measured {
    let per_second = all.iter().map(|m| m.per_second).sum::<f64>() / all.len() as f64;
    let failed = all.iter().map(|m| m.failed).sum();
    let mut times: Vec<u32> = all.into_iter().flat_map(|m| m.times).collect();
    times.sort_unstable();
    Measured { per_second, count: times.len() as u64, failed, times }
}
