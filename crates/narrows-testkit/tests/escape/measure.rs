//! Figures, not a test: `cargo nextest run --release -p narrows-testkit --test escape \
//! --run-ignored only --no-capture`. `NARROWS_WORKER` may name another build of the worker.

use crate::house::{program, run_by};
use crate::places;
use narrows_sandbox::{Config, Sandbox, Want};
use narrows_types::{Engine, Limits};
use std::time::{Duration, Instant};

const RUNS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn figures() {
    let base = places::deno().unwrap().config;
    let worker = std::env::var_os("NARROWS_WORKER").map_or(base.program.clone(), Into::into);
    let base = Config { program: worker, ..base };
    let twenty_py = "x = 0\nfor i in range(20):\n    x = host.echo(n=i)['n']\nx";
    let twenty_ts =
        "let x = 0; for (let i = 0; i < 20; i++) x = (await host.echo({n: i})).n\nreturn x";
    for (name, warm, engine, code) in [
        ("python 1+1, pre-forked", 4, Engine::Monty, "1 + 1"),
        ("python 1+1, forked on demand", 0, Engine::Monty, "1 + 1"),
        ("python 20 calls, pre-forked", 4, Engine::Monty, twenty_py),
        ("typescript 1+1, pre-forked", 4, Engine::Quickjs, "return 1 + 1"),
        ("typescript 1+1, forked on demand", 0, Engine::Quickjs, "return 1 + 1"),
        ("typescript 20 calls, pre-forked", 4, Engine::Quickjs, twenty_ts),
        ("cpython 1+1, pre-forked", 4, Engine::Cpython, "1 + 1"),
        ("cpython 1+1, forked on demand", 0, Engine::Cpython, "1 + 1"),
        ("cpython 20 calls, pre-forked", 4, Engine::Cpython, twenty_py),
        ("deno 1+1, started before", 4, Engine::Deno, "return 1 + 1"),
        ("deno 1+1, started on demand", 0, Engine::Deno, "return 1 + 1"),
        ("deno 20 calls, started before", 4, Engine::Deno, twenty_ts),
    ] {
        let sandbox = Sandbox::start(Config { warm, ..base.clone() }).await.unwrap();
        let language = engine.language();
        let want = Want { engine: Some(engine), ..Want::from(language) };
        // The first starts the zygote.
        run_by(&sandbox, want, program(language, code, Limits::default())).await.end.unwrap();
        let mut times = Vec::new();
        let begun = Instant::now();
        for _ in 0..RUNS {
            let started = Instant::now();
            run_by(&sandbox, want, program(language, code, Limits::default())).await.end.unwrap();
            times.push(started.elapsed());
        }
        let a_second = f64::from(u32::try_from(RUNS).unwrap()) / begun.elapsed().as_secs_f64();
        // Alone, with a pause in which the pool fills again.
        let mut spaced = Vec::new();
        for _ in 0..RUNS / 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let started = Instant::now();
            run_by(&sandbox, want, program(language, code, Limits::default())).await.end.unwrap();
            spaced.push(started.elapsed());
        }
        sandbox.shutdown().await;
        let (one, other) = (quantiles(times), quantiles(spaced));
        show(&format!("{name}: back to back {one}, {a_second:.0}/s; spaced {other}"));
    }
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    format!("p50 {:?} p99 {:?}", at(50), at(99))
}

#[expect(clippy::print_stderr, reason = "the figures are all that this is for")]
fn show(line: &str) {
    eprintln!("{line}");
}
