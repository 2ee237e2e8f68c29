//! Workers are killed every two seconds, and some jobs kill theirs.

use crate::crowd::{Crowd, HANDS, WORKERS};
use crate::diary::Diary;
use crate::servers::Place;
use narrows_store::{Clock, Config, Depth, JobFilter, JobRow, JobState, NewJob, Store};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a state may take to come: far longer than it ever does.
const PATIENCE: Duration = Duration::from_mins(1);
const KILL_EVERY: Duration = Duration::from_secs(2);
/// More than chance ever takes from a job that does no harm.
const ATTEMPTS: u32 = 30;
const POISON_ATTEMPTS: u32 = 3;
const POISON: usize = 4;
const CANCELLED: usize = 3;

#[tokio::test]
async fn nothing_is_lost_or_done_twice_in_a_file() {
    survive("sqlite", &Place::sqlite()).await;
}

#[tokio::test]
async fn nothing_is_lost_or_done_twice_on_postgres() {
    survive("postgres", &Place::postgres()).await;
}

#[tokio::test]
async fn nothing_is_lost_or_done_twice_on_redis() {
    survive("redis", &Place::redis()).await;
}

async fn survive(name: &str, place: &Place) {
    let (jobs, length) = match std::env::var("NARROWS_TEST_FULL") {
        Ok(_) => (5_000_usize, Duration::from_mins(1)),
        Err(_) => (1_500, Duration::from_secs(20)),
    };
    let store = open(&place.url).await;
    let begun = Instant::now();
    // So long that all hands together are busy for most of the time.
    let work_ms = (WORKERS * HANDS) as u128 * length.as_millis() * 3 / 4 / jobs as u128;
    let mut all: Vec<NewJob> = (0..jobs)
        .map(|n| job(&format!("work-{n}"), &format!("work {work_ms}"), ATTEMPTS))
        .collect();
    for n in 0..POISON {
        let at = (n + 1) * jobs / (POISON + 1);
        all.insert(at, job(&format!("poison-{n}"), "poison", POISON_ATTEMPTS));
    }
    let waiting = (0..CANCELLED).map(|n| job(&format!("wait-{n}"), "wait", ATTEMPTS));
    all.extend(waiting.map(|job| NewJob { priority: 1, ..job }));
    for part in all.chunks(500) {
        store.enqueue(part.to_vec()).await.unwrap();
    }

    let mut crowd = Crowd::start(&place.url, None);
    crowd.storm(length / 2, KILL_EVERY).await;
    for n in 0..CANCELLED {
        assert!(store.cancel_job(&format!("wait-{n}")).await.unwrap());
    }
    crowd.storm(length / 2, KILL_EVERY).await;
    settled(&store, &mut crowd).await;
    let took = begun.elapsed();

    let rows = rows(&store).await;
    let diary = crowd.diary();
    assert_eq!(rows.len(), all.len());
    let again = once_each(&rows, &diary);
    assert!(crowd.killed >= 5 && crowd.aborted > 0);
    let worst = cancels(&store, &diary).await;
    println!(
        "{name}: {jobs} jobs in {} s, {} kills, {} aborts, {again} attempts repeated, \
         cancel seen within {worst} ms",
        took.as_secs(),
        crowd.killed,
        crowd.aborted
    );
    store.close().await;
}

/// Every job is over in the right way, and no attempt was in two hands. Gives how many were begun in
/// vain.
fn once_each(rows: &[JobRow], diary: &Diary) -> usize {
    let (begun, heard) = (diary.of("begin"), diary.of("settled"));
    let ended: HashSet<String> = diary.of("end").into_keys().collect();
    let mut states: HashMap<JobState, usize> = HashMap::new();
    for row in rows {
        *states.entry(row.state).or_default() += 1;
        let (what, _) = row.id.split_once('-').unwrap();
        let expected = match what {
            "work" => JobState::Done,
            "poison" => JobState::Dead,
            _ => JobState::Cancelled,
        };
        assert_eq!(row.state, expected, "{row:?}");
        if what == "poison" {
            assert_eq!((row.attempt, row.max_attempts), (POISON_ATTEMPTS, POISON_ATTEMPTS));
        }
        if what == "work" {
            assert!(ended.contains(&row.id), "done without being done: {row:?}");
            let result = String::from_utf8_lossy(&row.result);
            assert_eq!(result, format!("{} {}", row.attempt, row.worker), "{row:?}");
        }
        // Who was killed may have been heard without writing it down; nobody is heard twice.
        let heard = heard.get(&row.id).map_or(&[][..], Vec::as_slice);
        assert!(heard.len() <= 1, "{heard:?}");
        assert!(heard.iter().all(|line| line.attempt == row.attempt), "{row:?}: {heard:?}");
        let begun = begun.get(&row.id).map_or(&[][..], Vec::as_slice);
        let attempts: HashSet<u32> = begun.iter().map(|line| line.attempt).collect();
        assert_eq!(attempts.len(), begun.len(), "an attempt in two hands: {begun:?}");
    }
    let begun: usize = begun.values().map(Vec::len).sum();
    println!("{states:?}");
    begun - rows.len().min(begun)
}

/// How long a worker takes at most to hear of a cancellation, in milliseconds: a second is promised.
async fn cancels(store: &Store, diary: &Diary) -> u64 {
    let mut worst = 0;
    for n in 0..5 {
        let id = format!("late-{n}");
        store.enqueue(vec![job(&id, "wait", ATTEMPTS)]).await.unwrap();
        diary.until("begin", &id, PATIENCE).await;
        let asked = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert!(store.cancel_job(&id).await.unwrap());
        let seen = diary.until("cancelled", &id, PATIENCE).await;
        worst = worst.max(seen.ms.saturating_sub(u64::try_from(asked).unwrap()));
        diary.until("settled", &id, PATIENCE).await;
        assert_eq!(store.job(&id).await.unwrap().unwrap().state, JobState::Cancelled);
    }
    assert!(worst <= 1_000, "{worst} ms");
    worst
}

pub(crate) async fn open(url: &str) -> Store {
    let config = Config { url: url.to_owned(), ..Config::default() };
    Store::open(&config, Clock::system()).await.unwrap()
}

pub(crate) fn job(id: &str, body: &str, max_attempts: u32) -> NewJob {
    NewJob {
        id: id.to_owned(),
        principal: "ann".to_owned(),
        tenant: "acme".to_owned(),
        priority: 0,
        delay_ms: 0,
        max_attempts,
        body: body.as_bytes().to_vec(),
        running: None,
    }
}

/// Waits until nothing is left to do.
pub(crate) async fn settled(store: &Store, crowd: &mut Crowd) {
    let until = Instant::now() + PATIENCE;
    loop {
        let Depth([queued, running, ..]) = store.job_depth().await.unwrap();
        if queued + running == 0 {
            return;
        }
        assert!(Instant::now() < until, "{queued} queued, {running} running after {PATIENCE:?}");
        crowd.mend();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every job there is.
pub(crate) async fn rows(store: &Store) -> Vec<JobRow> {
    let mut rows: Vec<JobRow> = Vec::new();
    loop {
        let after = rows.last().map(|row| (row.created_ms, row.id.clone()));
        let filter = JobFilter { after, limit: 500, ..JobFilter::default() };
        let page = store.jobs(&filter).await.unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}
