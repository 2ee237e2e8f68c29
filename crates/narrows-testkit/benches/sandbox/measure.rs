//! Runs in one kind of worker, as the engine makes them.

use crate::memory;
use crate::places::Place;
use crate::table::{Row, Spread};
use narrows_sandbox::{Config, Sandbox, SandboxError, Want};
use narrows_types::frame::{Done, End, FromWorker, Go, Program, Reply, ToWorker};
use narrows_types::{Language, Limits};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_mins(3);
/// In which a pool fills again, as between a model's calls.
const PAUSE: Duration = Duration::from_millis(5);
/// Of runs at once.
const CROWD: Duration = Duration::from_secs(3);

/// A program that does nothing.
pub(crate) fn nothing(language: Language) -> &'static str {
    if language == Language::Python { "1" } else { "return 1" }
}

/// A program with so many calls, one after the other, of what gives an object back.
pub(crate) fn calls(language: Language, tool: &str, count: usize) -> String {
    if language == Language::Python {
        format!("for i in range({count}):\n    host.{tool}(k=i)\n1")
    } else {
        format!("for (let i = 0; i < {count}; i++) await host.{tool}({{k: i}}); return 1")
    }
}

pub(crate) async fn measure(place: &Place) -> Row {
    let mut row = Row { name: place.name.to_owned(), ..Row::default() };
    if let Err(error) = fill(place, &mut row).await {
        row.note = error.to_string();
    }
    row
}

async fn fill(place: &Place, row: &mut Row) -> Result<(), SandboxError> {
    let (want, rounds) = (place.want, place.rounds);
    let nothing = nothing(want.language);
    let mut cold = Vec::new();
    for _ in 0..rounds.cold {
        let sandbox = Sandbox::start(place.config.clone()).await?;
        cold.push(run(&sandbox, want, nothing, &mut Vec::new()).await);
        sandbox.shutdown().await;
    }
    row.cold_ms = Spread::of(cold.into_iter().collect::<Result<_, _>>()?);
    let sandbox = Sandbox::start(Config { warm: 0, ..place.config.clone() }).await?;
    run(&sandbox, want, nothing, &mut Vec::new()).await?;
    row.demand_ms = Spread::of(times(&sandbox, want, rounds.demand, PAUSE).await?);
    sandbox.shutdown().await;
    let sandbox = Sandbox::start(place.config.clone()).await?;
    run(&sandbox, want, nothing, &mut Vec::new()).await?;
    full(&sandbox, &place.config).await;
    // A worker that is launched takes longer than that: the pool must be full before the next run.
    let slow = row.demand_ms.is_some_and(|demand| demand.p50 > 4.0);
    let mut warm = Vec::new();
    for _ in 0..rounds.warm {
        tokio::time::sleep(PAUSE).await;
        if slow {
            full(&sandbox, &place.config).await;
        }
        warm.push(run(&sandbox, want, nothing, &mut Vec::new()).await?);
    }
    row.warm_ms = Spread::of(warm);
    row.sequence_ms = Spread::of(times(&sandbox, want, rounds.row, Duration::ZERO).await?);
    let mut trips = Vec::new();
    run(&sandbox, want, &calls(want.language, "echo", rounds.calls), &mut trips).await?;
    row.trip_us = Spread::of(trips);
    row.idle_kib = Some(idle(&sandbox, place).await?);
    row.per_second = Some(crowd(&sandbox, place).await?);
    sandbox.shutdown().await;
    Ok(())
}

async fn times(
    sandbox: &Sandbox,
    want: Want,
    rounds: usize,
    pause: Duration,
) -> Result<Vec<f64>, SandboxError> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        times.push(run(sandbox, want, nothing(want.language), &mut Vec::new()).await?);
    }
    Ok(times)
}

/// Until as many workers wait as are to.
async fn full(sandbox: &Sandbox, config: &Config) {
    let until = Instant::now() + LONG;
    while sandbox.health().iter().map(|health| health.idle).sum::<usize>() < config.warm {
        assert!(Instant::now() < until, "the pool does not fill: {:?}", sandbox.health());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// KiB of one more idle worker: some are leased and get no program, so that as many more wait.
async fn idle(sandbox: &Sandbox, place: &Place) -> Result<f64, SandboxError> {
    full(sandbox, &place.config).await;
    let before = memory::private_kib();
    let mut leases = Vec::new();
    for _ in 0..place.rounds.idle {
        leases.push(sandbox.lease(place.want, Instant::now() + LONG).await?);
    }
    full(sandbox, &place.config).await;
    // What a container's keepers do after its start takes a moment.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok((memory::private_kib() - before) / leases.len() as f64)
}

/// Runs a second, as many at once as the place can be asked for.
async fn crowd(sandbox: &Sandbox, place: &Place) -> Result<f64, SandboxError> {
    let want = place.want;
    full(sandbox, &place.config).await;
    let begun = Instant::now();
    let clients = (0..place.rounds.at_once).map(|_| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move {
            let mut count = 0_u32;
            while begun.elapsed() < CROWD {
                run(&sandbox, want, nothing(want.language), &mut Vec::new()).await?;
                count += 1;
            }
            Ok::<_, SandboxError>(count)
        })
    });
    let mut count = 0;
    for client in clients.collect::<Vec<_>>() {
        count += client.await.unwrap()?;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// Milliseconds of one run, from asking for a worker to its value; each call is answered at once.
async fn run(
    sandbox: &Sandbox,
    want: Want,
    code: &str,
    trips_us: &mut Vec<f64>,
) -> Result<f64, SandboxError> {
    let began = Instant::now();
    let mut lease = sandbox.lease(want, began + LONG).await?;
    let (language, code) = (want.language, code.to_owned());
    let limits = Limits { calls: 100_000, ..Limits::default() };
    lease.arm(&limits);
    let program = Program { code, language, input: None, limits, now_ms: 0, seed: 1, state: false };
    lease.send(&ToWorker::Run(Box::new(program))).await.expect("the worker takes its program");
    let mut replied: Option<Instant> = None;
    loop {
        match lease.receive().await.expect("the worker lives until it is done") {
            FromWorker::Uses(uses) => {
                assert!(uses.findings.is_empty(), "{:?}", uses.findings);
                let go = Go { namespaces: vec!["host".to_owned()] };
                lease.send(&ToWorker::Go(go)).await.expect("the worker waits for this");
            }
            FromWorker::Call(call) => {
                trips_us.extend(replied.map(|at| at.elapsed().as_secs_f64() * 1e6));
                let body = call.args.get().to_owned();
                replied = Some(Instant::now());
                let reply = Reply { id: call.id, ok: true, at_us: 0, body };
                lease.send(&ToWorker::Reply(reply)).await.expect("the worker waits for this");
            }
            FromWorker::Done(done) => {
                let Done { end: End::Value(_), .. } = *done else { panic!("{:?}", done.end) };
                return Ok(began.elapsed().as_secs_f64() * 1e3);
            }
            _ => {}
        }
    }
}
