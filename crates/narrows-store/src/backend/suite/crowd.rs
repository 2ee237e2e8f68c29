//! Many at once.

use super::*;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// Each appends where it believes the end to be, again until it is right.
pub(crate) async fn many_append_and_nothing_is_lost_or_doubled(site: &Site) {
    let mut writers = JoinSet::new();
    for writer in 0..8_u32 {
        let b = site.open().await;
        writers.spawn(async move {
            for n in 0..10_u32 {
                let entry = format!("{writer}/{n}");
                while !append_at_the_end(&*b, &entry).await {}
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let entries = log(&*site.open().await, &ann("a")).await;
    assert_eq!(entries.len(), 80);
    assert_eq!(entries.iter().collect::<BTreeSet<_>>().len(), 80);
}

async fn append_at_the_end(b: &dyn Backend, entry: &str) -> bool {
    let end = b.read(&ann("a"), 0, u64::MAX).await.unwrap().len() as u64;
    b.write(vec![append(&ann("a"), end, &[entry])]).await.unwrap()
}

async fn count_up(b: &dyn Backend) -> bool {
    let found = b.get(&ann("a"), 0).await.unwrap().unwrap();
    let count: u64 = String::from_utf8(found.body).unwrap().parse().unwrap();
    let record = record(&ann("a"), (count + 1).to_string().as_bytes());
    b.write(vec![Change::Put { record, expect: Expect::Version(found.version) }]).await.unwrap()
}

/// Also the totals.
pub(crate) async fn many_add_and_the_sum_is_right(site: &Site) {
    let mut writers = JoinSet::new();
    for writer in 0..16_u64 {
        let b = site.open().await;
        writers.spawn(async move {
            for n in 0..20_u64 {
                let add = |id: &str| {
                    let key = key(Space::Usage, "git", id);
                    Change::Add { key, weight: 1 + n % 2, stamp_ms: writer }
                };
                // In either order, so that who locks one after the other would wait for ever.
                let mut changes = vec![add("log"), add("diff")];
                if writer % 2 == 0 {
                    changes.reverse();
                }
                assert!(b.write(changes).await.unwrap());
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let b = site.open().await;
    for id in ["log", "diff"] {
        let found = b.get(&key(Space::Usage, "git", id), 0).await.unwrap().unwrap();
        assert_eq!(found.weight, 16 * 30, "{id}");
    }
    let total = b.total(Space::Usage, None).await.unwrap();
    assert_eq!((total.records, total.weight), (2, 2 * 16 * 30));
}

/// No update is lost.
pub(crate) async fn many_compare_and_put_and_each_counts_once(site: &Site) {
    let first = site.open().await;
    assert!(first.write(vec![put(record(&ann("a"), b"0"))]).await.unwrap());
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let b = site.open().await;
        writers.spawn(async move {
            for _ in 0..10 {
                while !count_up(&*b).await {}
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let found = first.get(&ann("a"), 0).await.unwrap().unwrap();
    assert_eq!((found.body, found.version), (b"80".to_vec(), 81));
}

/// The others hear that it exists.
pub(crate) async fn many_make_one_record_and_one_succeeds(site: &Site) {
    for round in 0..5 {
        let mut writers = JoinSet::new();
        for writer in 0..8_u32 {
            let b = site.open().await;
            let record = record(&ann(&format!("r{round}")), writer.to_string().as_bytes());
            writers.spawn(async move {
                b.write(vec![Change::Put { record, expect: Expect::Absent }]).await.unwrap()
            });
        }
        assert_eq!(writers.join_all().await.into_iter().filter(|made| *made).count(), 1);
    }
    assert_eq!(site.open().await.total(Space::Session, None).await.unwrap().records, 5);
}

/// Each job has one taker.
pub(crate) async fn claimers_never_share_a_job(site: &Site) {
    let b = site.open().await;
    b.enqueue((0..200).map(|n| new_job(&format!("j{n}"))).collect()).await.unwrap();
    let mut claimers = JoinSet::new();
    for worker in 0..8_u32 {
        let b = site.open().await;
        claimers.spawn(async move {
            let want = want(&format!("w{worker}"), 1 + worker, LONG_MS);
            let mut mine = Vec::new();
            loop {
                let rows = b.claim(&want).await.unwrap();
                assert!(rows.iter().all(|r| r.attempt == 1 && r.worker == want.worker));
                if rows.is_empty() && b.depth().await.unwrap().0[0] == 0 {
                    return mine;
                }
                mine.extend(rows.into_iter().map(|r| r.id));
            }
        });
    }
    let taken: Vec<String> = claimers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 200);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), 200);
}

/// Enqueued, claimed and settled by many, with failures and releases among them.
pub(crate) async fn a_crowd_of_workers_finishes_every_job_once(site: &Site) {
    const JOBS: usize = 160;
    let mut crowd = JoinSet::new();
    for maker in 0..4 {
        let b = site.open().await;
        crowd.spawn(async move {
            for n in 0..JOBS / 4 {
                let tenant = format!("t{}", n % 3);
                let job = NewJob { tenant, ..new_job(&format!("{maker}/{n}")) };
                b.enqueue(vec![job.clone(), job]).await.unwrap();
            }
            0
        });
    }
    for worker in 0..6 {
        let b = site.open().await;
        crowd.spawn(async move { work(&*b, &format!("w{worker}"), JOBS as u64).await });
    }
    let done: u64 = crowd.join_all().await.into_iter().sum();
    assert_eq!(done, JOBS as u64);
    let depth = site.open().await.depth().await.unwrap();
    assert_eq!(depth.0, [0, 0, 0, JOBS as u64, 0, 0, 0]);
}

/// How many jobs this worker finished when all are over.
async fn work(b: &dyn Backend, worker: &str, jobs: u64) -> u64 {
    let mut done = 0;
    let until = Instant::now() + PATIENCE;
    while b.depth().await.unwrap().0[3] < jobs {
        assert!(Instant::now() < until, "{:?}", b.depth().await);
        let rows = b.claim(&want(worker, 4, LONG_MS)).await.unwrap();
        let ends: Vec<Settle> = rows.iter().map(outcome).collect();
        let pulses = b.beat(ends.iter().map(held).collect(), LONG_MS).await.unwrap();
        assert!(pulses.iter().all(|p| *p == crate::queue::Pulse::Held), "{pulses:?}");
        let finished = ends.iter().filter(|e| matches!(e.outcome, Outcome::Done(_))).count();
        let settled = b.settle(ends.clone()).await.unwrap();
        assert_eq!(settled, vec![true; ends.len()], "nobody else had them");
        assert_eq!(b.settle(ends.clone()).await.unwrap(), vec![false; ends.len()]);
        done += finished as u64;
    }
    done
}

fn held(end: &Settle) -> crate::queue::Beat {
    crate::queue::Beat { id: end.id.clone(), attempt: end.attempt, progress: None }
}

/// Some fail at first, the others are done.
fn outcome(row: &JobRow) -> Settle {
    let fails = row.attempt == 1 && row.id.ends_with('7');
    let error = "not yet".to_owned();
    let outcome = if fails {
        Outcome::Failed { error, retry_ms: Some(1) }
    } else {
        Outcome::Done(row.body.clone())
    };
    Settle { id: row.id.clone(), attempt: row.attempt, outcome }
}

/// With an error, at once.
pub(crate) async fn a_closed_back_end_refuses(site: &Site) {
    let b = site.open().await;
    assert!(b.write(vec![put(record(&ann("a"), b"x"))]).await.unwrap());
    b.close().await.unwrap();
    assert!(b.write(vec![put(record(&ann("b"), b"x"))]).await.is_err());
    assert!(b.get(&ann("a"), 0).await.is_err());
    assert!(b.claim(&want("w", 1, LONG_MS)).await.is_err());
    b.close().await.unwrap();
}
