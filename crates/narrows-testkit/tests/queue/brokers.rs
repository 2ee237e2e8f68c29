//! A broker brings the news, dies and comes back; the jobs go on as if nothing had been.

use crate::broker::{Broker, Kind};
use crate::crowd::Crowd;
use crate::deaths::{job, rows, settled};
use crate::servers::Place;
use narrows_store::{Clock, Config, JobState, NewJob, Store};
use std::time::{Duration, Instant};

const KILL_EVERY: Duration = Duration::from_secs(2);
/// Jobs of each of the three times: with the broker, without it, with it again.
const JOBS: usize = 150;
/// Jobs that only a wake can carry: more than the looks of workers that begin.
const ROUNDS: usize = 20;
/// How seldom workers look then, and how long a wake may take: a look would come later.
const SELDOM_MS: u64 = 600_000;
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn jobs_go_on_while_rabbitmq_is_restarted() {
    go_on(Kind::Rabbit).await;
}

#[tokio::test]
async fn jobs_go_on_while_nats_is_restarted() {
    go_on(Kind::Nats).await;
}

async fn go_on(kind: Kind) {
    let mut broker = tokio::task::spawn_blocking(move || Broker::start(kind)).await.unwrap();
    let (url, place) = (broker.url(), Place::sqlite());
    let config = Config { url: place.url.clone(), wakes: Some(url.clone()), ..Config::default() };
    let store = Store::open(&config, Clock::system()).await.unwrap();
    woken(&store, &place, &url).await;
    let mut crowd = Crowd::start(&place.url, Some(&url));

    enqueue(&store, "with").await;
    crowd.storm(KILL_EVERY * 2, KILL_EVERY).await;
    settled(&store, &mut crowd).await;

    broker.kill();
    let begun = Instant::now();
    enqueue(&store, "without").await;
    println!("{kind:?}: {JOBS} jobs enqueued without it in {} ms", begun.elapsed().as_millis());
    crowd.storm(KILL_EVERY * 2, KILL_EVERY).await;
    settled(&store, &mut crowd).await;

    let restart = tokio::task::spawn_blocking(move || {
        broker.restart();
        broker
    });
    let _broker = restart.await.unwrap();
    enqueue(&store, "again").await;
    crowd.storm(KILL_EVERY * 2, KILL_EVERY).await;
    settled(&store, &mut crowd).await;

    let rows = rows(&store).await;
    assert_eq!(rows.len(), 3 * JOBS + ROUNDS);
    assert!(rows.iter().all(|row| row.state == JobState::Done), "{rows:?}");
    let (heard, ended) = (crowd.diary().of("settled"), crowd.diary().of("end"));
    assert!(heard.values().all(|lines| lines.len() == 1), "{heard:?}");
    let ours = rows.iter().filter(|row| !row.id.starts_with("news"));
    assert_eq!(ours.filter(|row| ended.contains_key(&row.id)).count(), 3 * JOBS);
    store.close().await;
}

/// Only its news can bring these jobs: nobody looks for them in time.
async fn woken(store: &Store, place: &Place, url: &str) {
    let crowd = Crowd::looking(&place.url, Some(url), SELDOM_MS);
    let diary = crowd.diary();
    for round in 0..ROUNDS {
        let id = format!("news-{round}");
        // Whoever did the last job looks once more after it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        store.enqueue(vec![job(&id, "work 1", 1)]).await.unwrap();
        diary.until("settled", &id, PATIENCE).await;
    }
}

async fn enqueue(store: &Store, what: &str) {
    let jobs: Vec<NewJob> =
        (0..JOBS).map(|n| job(&format!("{what}-{n}"), "work 100", 20)).collect();
    for part in jobs.chunks(10) {
        store.enqueue(part.to_vec()).await.unwrap();
    }
}
