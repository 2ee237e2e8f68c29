//! Jobs through the queue: enqueued one by one by 16 tasks, claimed for 16 workers, settled one by one.
//!
//! `cargo xtask bench queue [file|full|postgres|redis]`. On one small and shared machine: read ratios.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking, prints, and hears from its runner where servers are"
)]

use narrows_store::{Claim, Clock, Config, JobState, NewJob, Outcome, Settle, Store, Synchronous};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const JOBS: usize = 8_000;
const TASKS: usize = 16;

#[tokio::main]
async fn main() {
    // `cargo test --benches` calls this too, without `--bench`: nothing to do there.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let server = |name: &str| std::env::var(name).ok();
    let stores = [
        ("file", Some(file("normal.db")), Synchronous::Normal),
        ("full", Some(file("full.db")), Synchronous::Full),
        ("postgres", server("NARROWS_TEST_POSTGRES"), Synchronous::Normal),
        ("redis", server("NARROWS_TEST_REDIS"), Synchronous::Normal),
    ];
    for (name, url, synchronous) in stores {
        let Some(url) = url else { continue };
        if !named.is_empty() && !named.iter().any(|n| n == name) {
            continue;
        }
        let config = Config { url, synchronous, ..Config::default() };
        let store = Store::open(&config, Clock::system()).await.unwrap();
        let started = Instant::now();
        pass(&store).await;
        let seconds = started.elapsed().as_secs_f64();
        println!("{name:9} {:7.0} jobs/s", f64::from(u32::try_from(JOBS).unwrap()) / seconds);
        store.close().await;
    }
}

/// All jobs from their beginning to their end.
async fn pass(store: &Store) {
    let mut tasks = JoinSet::new();
    // Another pass on the same server must not find these.
    let pass = std::process::id();
    for task in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for n in 0..JOBS / TASKS {
                store.enqueue(vec![job(format!("{pass}/{task}/{n}"))]).await.unwrap();
            }
        });
    }
    let free = Arc::new(Semaphore::new(TASKS));
    let mut wakes = store.job_wakes();
    let mut claimed = 0;
    while claimed < JOBS {
        let permit = Arc::clone(&free).acquire_owned().await.unwrap();
        let count = u32::try_from(free.available_permits() + 1).unwrap();
        drop(permit);
        wakes.mark_unchanged();
        let worker = "w".to_owned();
        let claim = Claim { worker, count, lease_ms: 60_000, tenant_running_max: 1_000 };
        let rows = store.claim(&claim).await.unwrap();
        if rows.is_empty() {
            let _woken = tokio::time::timeout(Duration::from_millis(50), wakes.changed()).await;
        }
        claimed += rows.len();
        for row in rows {
            let permit = Arc::clone(&free).acquire_owned().await.unwrap();
            let store = store.clone();
            tasks.spawn(async move {
                let end =
                    Settle { id: row.id, attempt: row.attempt, outcome: Outcome::Done(row.body) };
                assert_eq!(store.settle(vec![end]).await.unwrap(), [true]);
                drop(permit);
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let last = store.job(&format!("{pass}/0/0")).await.unwrap().unwrap();
    assert_eq!(last.state, JobState::Done);
}

fn job(id: String) -> NewJob {
    NewJob {
        id,
        principal: "ann".to_owned(),
        tenant: "acme".to_owned(),
        priority: 0,
        delay_ms: 0,
        max_attempts: 3,
        body: br#"{"code":"return await git.log({})"}"#.to_vec(),
        running: None,
    }
}
