//! Leases: whoever loses one is not heard any more. And wake-ups.

use super::*;
use crate::queue::{Beat, Pulse};
use tokio::sync::watch;

fn beat(row: &JobRow, progress: Option<&str>) -> Vec<Beat> {
    let progress = progress.map(str::to_owned);
    vec![Beat { id: row.id.clone(), attempt: row.attempt, progress }]
}

/// The attempt's number is the fence.
pub(crate) async fn a_lost_lease_is_taken_again_and_the_loser_is_not_heard(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![new_job("a")]).await.unwrap();
    let lost = claimed(&*b, &want("frozen", 1, SHORT_MS)).await.remove(0);
    let other = site.open().await;
    let held = claimed(&*other, &want("quick", 1, LONG_MS)).await.remove(0);
    assert!(b.now_ms().await.unwrap() >= lost.visible_ms, "not before its end");
    assert_eq!((held.attempt, held.worker.as_str()), (2, "quick"));
    assert_eq!(b.beat(beat(&lost, Some("{}")), LONG_MS).await.unwrap(), [Pulse::Lost]);
    for outcome in [Outcome::Done(b"late".to_vec()), Outcome::Released, Outcome::Cancelled] {
        assert_eq!(b.settle(end(&lost, outcome)).await.unwrap(), [false]);
    }
    assert_eq!(job(&*b, "a").await, held);
    assert_eq!(b.settle(end(&held, Outcome::Done(b"r".to_vec()))).await.unwrap(), [true]);
    assert_eq!(b.beat(beat(&held, None), LONG_MS).await.unwrap(), [Pulse::Lost]);
    assert_eq!(job(&*b, "a").await.result, b"r");
}

/// Its error says so.
pub(crate) async fn a_lease_lost_at_the_last_attempt_is_the_end(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![NewJob { max_attempts: 2, ..new_job("a") }]).await.unwrap();
    for attempt in 1..=2 {
        let row = claimed(&*b, &want("w", 1, SHORT_MS)).await.remove(0);
        assert_eq!(row.attempt, attempt);
    }
    let until = Instant::now() + PATIENCE;
    while state(&*b, "a").await != JobState::Dead {
        assert_eq!(b.claim(&want("w", 9, LONG_MS)).await.unwrap(), [], "it is used up");
        assert!(Instant::now() < until);
        tokio::time::sleep(PAUSE).await;
    }
    let row = job(&*b, "a").await;
    assert!(row.error.contains("lease") && row.error.contains("attempt"), "{}", row.error);
    assert_eq!((row.attempt, row.worker.as_str()), (2, "w"));
    assert!(row.finished_ms > 0);
    assert_eq!(b.settle(end(&row, Outcome::Done(vec![]))).await.unwrap(), [false]);
    assert!(b.revive("a", 1).await.unwrap());
    assert_eq!(claimed(&*b, &want("w", 1, LONG_MS)).await.remove(0).attempt, 3);
}

/// In the order in which they were given.
pub(crate) async fn a_beat_prolongs_the_lease_and_tells_of_progress(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![new_job("a"), new_job("b")]).await.unwrap();
    let rows = b.claim(&want("w", 2, LONG_MS)).await.unwrap();
    let (one, two) = (&rows[0], &rows[1]);
    let wrong = Beat { id: one.id.clone(), attempt: 7, progress: Some("no".to_owned()) };
    let unknown = Beat { id: "nobody".to_owned(), attempt: 1, progress: None };
    let beats = [vec![wrong, unknown], beat(one, Some(r#"{"at":1}"#)), beat(two, None)].concat();
    let pulses = b.beat(beats, LONG_MS * 3).await.unwrap();
    assert_eq!(pulses, [Pulse::Lost, Pulse::Lost, Pulse::Held, Pulse::Held]);
    for (row, progress) in [(one, r#"{"at":1}"#), (two, "")] {
        let now = job(&*b, &row.id).await;
        assert!(now.visible_ms > row.visible_ms + LONG_MS, "{now:?}");
        assert_eq!(now.progress, progress);
    }
    assert_eq!(b.beat(beat(one, None), LONG_MS).await.unwrap(), [Pulse::Held]);
    assert_eq!(job(&*b, &one.id).await.progress, r#"{"at":1}"#, "it stays until there is new");
    // A beat can end a lease as well.
    assert_eq!(b.beat(beat(one, None), 0).await.unwrap(), [Pulse::Held]);
    let row = claimed(&*b, &want("v", 1, LONG_MS)).await.remove(0);
    assert_eq!((row.id.as_str(), row.attempt), (one.id.as_str(), 2));
}

/// It is cancelled.
pub(crate) async fn a_cancelled_job_whose_worker_died_is_not_begun_again(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![new_job("a")]).await.unwrap();
    let row = claimed(&*b, &want("w", 1, LONG_MS)).await.remove(0);
    assert!(b.cancel("a").await.unwrap());
    assert_eq!(b.beat(beat(&row, None), SHORT_MS).await.unwrap(), [Pulse::Cancel]);
    let until = Instant::now() + PATIENCE;
    while state(&*b, "a").await == JobState::Running {
        assert_eq!(b.claim(&want("v", 1, LONG_MS)).await.unwrap(), []);
        assert!(Instant::now() < until);
        tokio::time::sleep(PAUSE).await;
    }
    let row = job(&*b, "a").await;
    assert_eq!(row.state, JobState::Cancelled);
    assert!(row.finished_ms > 0);
}

/// By whatever makes a job ready or cancels one.
pub(crate) async fn listeners_are_woken(site: &Site) {
    let b = site.open().await;
    woken(&*b, &*b).await;
}

/// On other replicas too.
pub(crate) async fn listeners_elsewhere_are_woken(site: &Site) {
    let (here, there) = (site.open().await, site.open().await);
    woken(&*there, &*here).await;
}

async fn woken(listener: &dyn Backend, b: &dyn Backend) {
    let mut wakes = listener.wakes();
    // Until a new listener hears for the first time it may miss some.
    let until = Instant::now() + PATIENCE;
    let mut number = 0;
    loop {
        number += 1;
        b.enqueue(vec![new_job(&format!("first {number}"))]).await.unwrap();
        if tokio::time::timeout(Duration::from_millis(500), wakes.changed()).await.is_ok() {
            break;
        }
        assert!(Instant::now() < until, "never woken");
    }
    let rows = claimed(b, &want("w", 99, LONG_MS)).await;
    let row = rows.first().unwrap();
    settled(&mut wakes).await;
    b.enqueue(vec![new_job("second")]).await.unwrap();
    heard(&mut wakes, "enqueue").await;
    assert!(b.cancel(&row.id).await.unwrap());
    heard(&mut wakes, "cancel").await;
    assert_eq!(b.settle(end(row, Outcome::Cancelled)).await.unwrap(), [true]);
    settled(&mut wakes).await;
    assert!(b.revive(&row.id, 1).await.unwrap());
    heard(&mut wakes, "revive").await;
    let row = claimed(b, &want("w", 1, LONG_MS)).await.remove(0);
    settled(&mut wakes).await;
    assert_eq!(b.settle(end(&row, Outcome::Released)).await.unwrap(), [true]);
    heard(&mut wakes, "release").await;
}

/// Waits until nothing more comes.
async fn settled(wakes: &mut watch::Receiver<u64>) {
    while tokio::time::timeout(Duration::from_millis(100), wakes.changed()).await.is_ok() {}
}

async fn heard(wakes: &mut watch::Receiver<u64>, what: &str) {
    let heard = tokio::time::timeout(PATIENCE, wakes.changed()).await;
    assert!(heard.is_ok(), "not woken by {what}");
    settled(wakes).await;
}
