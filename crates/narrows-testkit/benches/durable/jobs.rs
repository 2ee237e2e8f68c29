//! Trivial jobs through the queue and the crew: each one call of a tool that does nothing. What the
//! queue can do alone, `cargo xtask bench queue` tells.

use crate::house::House;
use narrows_types::{Answer, CallAsk, JobOptions, JobWork, JobsAsk, What};
use serde_json::value::RawValue;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const JOBS: usize = 4_000;
const TASKS: usize = 16;

pub(crate) async fn all(folder: &Path) {
    let file = Some(format!("sqlite:{}", folder.join("jobs.db").display()));
    let server = |name: &str| std::env::var(name).ok();
    let stores = [
        ("sqlite", file),
        ("postgres", server("NARROWS_TEST_POSTGRES")),
        ("redis", server("NARROWS_TEST_REDIS")),
    ];
    for (name, url) in stores {
        match url {
            Some(url) => pass(name, &url).await,
            None => println!("jobs, {name}: no server"),
        }
    }
}

/// All jobs from their submission to their end.
async fn pass(name: &str, url: &str) {
    let house = Arc::new(House::open(url).await);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (engine, token) = (house.engine.clone(), stop.clone());
    let crew = tokio::spawn(async move { engine.work(token).await });
    let start = Instant::now();
    for _ in 0..TASKS {
        let house = Arc::clone(&house);
        tasks.spawn(async move {
            let mut last = None;
            for _ in 0..JOBS / TASKS {
                let Answer::Job(job) = house.ask(What::Jobs(submit())).await else {
                    panic!("no job")
                };
                last = Some(job.job);
            }
            last
        });
    }
    let mut last = Vec::new();
    while let Some(job) = tasks.join_next().await {
        last.extend(job.unwrap());
    }
    let submitted = start.elapsed().as_secs_f64();
    // The queue is in order: when the last of each are done, so are nearly all before them.
    for job in last {
        let show = JobsAsk::Show { job, wait_ms: 50_000 };
        let Answer::Job(job) = house.ask(What::Jobs(show)).await else { panic!("no job") };
        assert_eq!(job.state, "done");
    }
    let queued = JobsAsk::List { limit: 1, state: Some("queued".to_owned()) };
    while matches!(house.ask(What::Jobs(queued.clone())).await, Answer::Jobs(jobs) if !jobs.is_empty())
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "jobs, {name}: {:.0}/s through the crew, submitted at {:.0}/s",
        JOBS as f64 / seconds,
        JOBS as f64 / submitted
    );
    stop.cancel();
    crew.await.unwrap().unwrap();
    house.close().await;
}

fn submit() -> JobsAsk {
    let arguments = RawValue::from_string(r#"{"k": 1}"#.to_owned()).unwrap();
    let (server, tool) = ("host".to_owned(), "add".to_owned());
    let work = JobWork::Call(CallAsk { server, tool, arguments });
    JobsAsk::Submit { work: Box::new(work), options: JobOptions::default() }
}
